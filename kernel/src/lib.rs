//! On-CPU samples of another process, from `perf_event_open`: no eBPF, no pause, no write into the target.
//!
//! [`OnCpu`] samples every thread of a process while it is on a CPU: user call chain, the registers and the piece of
//! stack that repair it, kernel call chain where permitted. It also records each context switch, from which
//! [`Presence`] tells whether a thread was on a CPU at any moment. [`KernelSymbols`] names kernel addresses, and
//! [`diagnose`] says what works here and how to make the rest work.
//!
//! Facts about the kernel's interface are from perf_event_open(2) and, where that is silent, from
//! `kernel/events/core.c` of Linux 6.18; they are noted where they matter.

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("fgspy-kernel knows the registers of amd64 and arm64, on Linux");

mod accounts;
mod attach;
mod attr;
mod config;
mod cpus;
mod error;
mod lane;
mod memory;
mod oncpu;
mod parse;
mod presence;
mod proc;
mod promptness;
mod record;
mod ring;
mod sample;
mod samplers;
mod support;
mod symbols;
mod sys;
pub mod trace;
mod trackers;

pub use accounts::{Accounts, Progress};
pub use config::{Config, Coverage, Mode};
pub use error::{Errno, OpenError};
pub use oncpu::OnCpu;
pub use presence::{Presence, State, Times};
pub use promptness::Prompt;
pub use record::{Counts, Lost, Record};
pub use sample::{CpuSample, Registers, Switch};
pub use support::{PerfSupport, diagnose};
pub use symbols::KernelSymbols;
pub use sys::monotonic_ns;
