//! Every change of state of every goroutine, from probes in the target: exact where sampling is not.
//!
//! A small eBPF program (`kernel/bpf/trace.bpf.c`) hangs on a few functions of the Go runtime, of `net/http` and of gRPC.
//! It keeps, in the kernel, what each goroutine does and since when, adds up time by class for goroutines and requests, and
//! sends what was asked for through a ring: each transition, waits that were long with their stack, requests as they begin
//! and end. [`Tracer`] loads and attaches it, and gives the [`Event`]s.
//!
//! The program reads registers and the target's memory, and nothing of the kernel's structures: it needs no BTF, no
//! relocation by kernel version, and no library to load it. All probes hang on one link of type `uprobe.multi` (Linux 6.10 on),
//! which attaches and detaches them in milliseconds, needs no more than CAP_BPF and CAP_PERFMON, and is gone when this
//! process is, however it ends.
//!
//! The target is not stopped, but each hit of a probe is a trap into the kernel on its own thread: [`traps`] measures what
//! one takes on this machine, and the program what it takes itself ([`Counts::programs`]).

mod attach;
mod error;
mod event;
mod object;
mod plan;
mod ring;
mod sys;
mod tracer;
mod traps;
mod wire;

pub use error::TraceError;
pub use event::{End, Event, Headers};
pub use plan::{Dfa, Filter, InnerRequest, Maps, Offsets, Options, Plan, Reasons, Site, SiteKind};
pub use tracer::{Counts, Ended, Goroutine, Timed, Tracer};
pub use traps::{Traps, traps};

/// Classes of what a goroutine may be doing. [`RUNNING`], [`RUNNABLE`], [`SYSCALL`] and [`OTHER`] are fixed; the others are
/// what [`Plan::classes`] makes of the runtime's wait reasons.
pub const CLASSES: usize = 16;
/// The class of goroutines that run.
pub const RUNNING: u8 = 0;
/// The class of those that want to.
pub const RUNNABLE: u8 = 1;
/// The class of those in a system call, or in C.
pub const SYSCALL: u8 = 2;
/// The class of what has no other.
pub const OTHER: u8 = 3;

/// Nanoseconds by class.
pub type Times = [u64; CLASSES];

/// Headers that may say which request this is, in the order of [`Headers::values`].
pub const HEADERS: [&str; 6] = ["Traceparent", "B3", "X-B3-Traceid", "X-B3-Spanid", "Uber-Trace-Id", "X-Request-Id"];
