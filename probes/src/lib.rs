//! Exact events of a Go program, from probes in it, and what they say of its requests and waits.
//!
//! - [`sites`] finds the functions to probe in an executable, and the instruction in each at which a probe costs least.
//! - [`plan()`] says what the BPF program must know of a Go program: where its structures have their fields, which class each
//!   wait reason has. [`filter`] makes a filter of what the user asked for, which the BPF program runs.
//! - [`Tracer`] loads the BPF program (`probes/bpf/trace.bpf.c`), sets the probes and gives the [`Event`]s.
//! - [`Trace`] adds the events up by request, route and wait. [`OlderRequests`] finds requests that had begun before the probes were
//!   set, which no event tells of.
//!
//! The BPF program keeps, in the kernel, what each goroutine does and since when, adds up time by class for goroutines and
//! requests, and sends what was asked for through a ring: each transition, waits that were long with their stack, requests as
//! they begin and end.
//!
//! It reads registers and the target's memory, and nothing of the kernel's structures: it needs no BTF, no relocation by kernel
//! version, and no library to load it. All probes hang on one link of type `uprobe.multi` (Linux 6.10 on), which attaches and
//! detaches them in milliseconds, needs no more than CAP_BPF and CAP_PERFMON, and is gone when this process is, however it ends.
//!
//! The target is not stopped, but each hit of a probe is a trap into the kernel on its own thread: [`measure_trap_cost`] measures what
//! one takes on this machine, and the program what it takes itself ([`Counts::programs`]).

mod class;
mod clock;
mod error;
mod event;
pub mod filter;
mod loader;
mod older_requests;
mod plan;
mod shared;
pub mod sites;
mod totals;
mod tracer;
mod trap_cost;

pub use class::{Times, class, number};
pub use clock::monotonic_ns;
pub use error::TraceError;
pub use event::{Event, HEADERS, Headers};
pub use filter::TooLarge;
pub use older_requests::{OlderRequest, OlderRequests};
pub use plan::{
    Dfa, Filter, InnerRequest, Maps, Offsets, Options, Plan, Probe, Reasons, TrapCost, classes, offsets, plan, trap_ns,
};
pub use shared::constants::{CLASSES, OTHER, RUNNABLE, RUNNING, SYSCALL};
pub use shared::{EndReason, SiteKind, c_header};
pub use totals::{Distribution, Finished, Limits, OneRequest, Place, PlacedWaits, Route, Step, Trace};
pub use tracer::{Counts, Ended, Goroutine, Timed, Tracer};
pub use trap_cost::measure_trap_cost;
