//! Events of the threads of a process and of CPUs, from `perf_event_open`: no eBPF, no pause, no write into the target.
//!
//! [`OnCpu`] samples every thread of a process while it is on a CPU: user call chain, the registers and the piece of
//! stack that repair it, kernel call chain where permitted. It also records each context switch, from which
//! [`ThreadStates`] tells whether a thread was on a CPU at any moment. [`KernelSymbols`] names kernel addresses, and
//! [`diagnose`] says what works here and how to make the rest work. [`SchedStats`] reads how long threads ran and waited for a CPU;
//! [`LowLatency`] makes the calling thread run soon after it wakes.
//!
//! Facts about the kernel's interface are from perf_event_open(2) and, where that is silent, from
//! `kernel/events/core.c` of Linux 6.18; they are noted where they matter.

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("fgspy-perf knows the registers of amd64 and arm64, on Linux");

mod attach;
mod attr;
mod config;
mod cpu_samplers;
mod diagnose;
mod error;
mod event_ring;
mod kernel_symbols;
mod low_latency;
mod oncpu;
mod parse;
mod proc;
mod record;
mod ring;
mod ring_size;
mod sample;
mod schedstat;
mod sys;
mod thread_samplers;
mod thread_states;
mod trackers;

pub use config::{Config, Coverage, Mode};
pub use diagnose::{PerfSupport, diagnose};
pub use error::{Errno, OpenError};
pub use kernel_symbols::KernelSymbols;
pub use low_latency::LowLatency;
pub use oncpu::OnCpu;
pub use record::{Counts, Lost, Record};
pub use sample::{CpuSample, Registers, Switch};
pub use schedstat::{SchedDelta, SchedStats};
pub use sys::monotonic_ns;
pub use thread_states::{ThreadState, ThreadStates, ThreadTimes};
