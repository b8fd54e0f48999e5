//! What of perf works here, found by trying it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::config::Config;
use crate::error::{Errno, OpenError};
use crate::kernel_symbols::KernelSymbols;
use crate::sys::{self, ANY_CPU, Mapping};
use crate::{attach, attr, proc};

/// What `perf_event_open` gives this process, and the settings that explain it. Made by [`diagnose`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerfSupport {
    /// `kernel.perf_event_paranoid`; `None` where the kernel has no perf.
    pub paranoid: Option<i32>,
    /// `kernel.perf_event_max_sample_rate`.
    pub max_sample_rate: Option<u32>,
    /// This process has CAP_PERFMON (or CAP_SYS_ADMIN, which includes it).
    pub cap_perfmon: bool,
    /// This process has CAP_SYS_PTRACE.
    pub cap_sys_ptrace: bool,
    /// A seccomp filter is in force.
    pub seccomp_filter: bool,
    /// Sampling our own user code, with a ring: the least that is needed.
    pub can_user: Result<(), OpenError>,
    /// Sampling our own kernel code.
    pub can_kernel: Result<(), OpenError>,
    /// Sampling the process asked about.
    pub can_target: Option<Result<(), OpenError>>,
    /// Kernel addresses can be named from `/proc/kallsyms`.
    pub kernel_symbols: bool,
}

/// Tries what is needed for [`crate::OnCpu::open`] on ourselves and, if given, on `target`.
pub fn diagnose(target: Option<u32>) -> PerfSupport {
    const CAP_SYS_PTRACE: u32 = 19;
    const CAP_SYS_ADMIN: u32 = 21;
    const CAP_PERFMON: u32 = 38;
    let rights = proc::rights();
    PerfSupport {
        paranoid: proc::setting("perf_event_paranoid"),
        max_sample_rate: proc::setting("perf_event_max_sample_rate"),
        cap_perfmon: rights.has(CAP_PERFMON) || rights.has(CAP_SYS_ADMIN),
        cap_sys_ptrace: rights.has(CAP_SYS_PTRACE),
        seccomp_filter: rights.seccomp_filter,
        can_user: try_user(),
        can_kernel: try_ourselves(true).map_err(|error| match error.raw_os_error() {
            Some(libc::EACCES | libc::EPERM) => OpenError::refused_for_ourselves(Errno::from(&error), 1),
            _ => OpenError::explain(&error, None, || Ok(())),
        }),
        can_target: target.map(|pid| attach::settle(&Config::new(pid), &proc::threads(pid)).map(drop)),
        kernel_symbols: KernelSymbols::new().available(),
    }
}

fn try_user() -> Result<(), OpenError> {
    let event = open_on_ourselves(false).map_err(|error| OpenError::explain(&error, None, || Ok(())))?;
    match Mapping::of_event(event.as_fd(), sys::page_size()) {
        Ok(_) => Ok(()),
        Err(error) => Err(OpenError::RingMemory(Errno::from(&error))),
    }
}

/// Opens (and closes) a sampling event on the calling thread.
pub(crate) fn try_ourselves(kernel: bool) -> io::Result<()> {
    open_on_ourselves(kernel).map(drop)
}

fn open_on_ourselves(kernel: bool) -> io::Result<OwnedFd> {
    let config = Config::new(0);
    sys::perf_event_open(&attr::sampler(&config, kernel, config.period_ns(), usize::MAX), 0, ANY_CPU)
}
