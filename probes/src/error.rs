//! Why there is no trace.

use std::io;
use std::path::PathBuf;

/// Why tracing cannot begin. The messages name the cause and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// There is no program for this architecture.
    #[error(
        "tracing works on amd64 only: there is no probe program for this machine yet; `fgspy record` and `fgspy requests` work"
    )]
    Architecture,
    /// There are no probes to set.
    #[error("there is nothing to put a probe at in this program")]
    NoSites,
    /// The plan makes no sense.
    #[error("this cannot be traced: {0}")]
    Plan(&'static str),
    /// The kernel forbids it.
    #[error(
        "the kernel does not let this process load eBPF programs ({what}: {source}){apart}. Tracing needs CAP_BPF and CAP_PERFMON: run it with \
         sudo; or `sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep $(command -v fgspy)`; Docker: `--cap-add BPF --cap-add PERFMON \
         --cap-add SYS_PTRACE`; Kubernetes: securityContext.capabilities.add: [BPF, PERFMON, SYS_PTRACE]"
    )]
    Denied {
        /// What was refused.
        what: &'static str,
        /// Says so if capabilities do not count where this process is.
        apart: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel is too old.
    #[error(
        "this kernel ({release}) has no multi-uprobe links that see all threads of a process, which tracing needs: Linux 6.10 or \
         later has them. `fgspy record` and \
         `fgspy requests` need none"
    )]
    TooOld {
        /// Of the kernel.
        release: String,
    },
    /// The verifier refused the program.
    #[error(
        "the kernel's verifier refused the probe program, which is a defect of fgspy's; please report it: {source}\n{log}"
    )]
    Refused {
        /// The kernel's answer.
        source: io::Error,
        /// The end of what the verifier said.
        log: String,
    },
    /// A probe could not be set.
    #[error("the probes could not be set in {}: {source}", path.display())]
    Attach {
        /// The executable.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The process is gone.
    #[error("there is no process {pid}: it has ended")]
    TargetGone {
        /// Its number.
        pid: u32,
    },
    /// Anything else that the kernel refused.
    #[error("{what} failed: {source}")]
    Kernel {
        /// What failed.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl TraceError {
    /// Tells a missing permission from other failures of a command.
    pub(crate) fn of(what: &'static str, source: io::Error) -> TraceError {
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => TraceError::Denied { what, apart: apart(), source },
            _ => TraceError::Kernel { what, source },
        }
    }
}

/// Whether this process is in a user namespace of its own, as in a rootless container: the capabilities that it has there are
/// none for eBPF (user_namespaces(7)).
fn apart() -> &'static str {
    // The number of the first user namespace never changes (`PROC_USER_INIT_INO`, the kernel's include/linux/proc_ns.h).
    match std::fs::read_link("/proc/self/ns/user") {
        Ok(name) if name.as_os_str() != "user:[4026531837]" => {
            "; this is a user namespace (a rootless container?), whose capabilities do not count for that: run fgspy outside of it"
        }
        _ => "",
    }
}

/// The kernel's release: `6.18.44`.
pub(crate) fn release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").map_or_else(|_| "?".into(), |text| text.trim().to_owned())
}
