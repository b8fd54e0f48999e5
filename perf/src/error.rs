//! Why there are no on-CPU samples, and what to do about it.

use std::io;

use thiserror::Error;

use crate::proc;

/// Why sampling could not begin. `Display` gives the cause, [`OpenError::remedy`] the way out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// ENOSYS.
    #[error(
        "there is no perf_event_open here: the kernel is built without CONFIG_PERF_EVENTS, or a sandbox such as gVisor \
         hides it"
    )]
    NoSyscall,
    /// EPERM even for events on ourselves, below a seccomp filter; or ENOSYS although the kernel has perf.
    #[error(
        "a seccomp filter refuses perf_event_open: the default profiles of Docker, containerd and Podman allow it only \
         with CAP_PERFMON or CAP_SYS_ADMIN"
    )]
    Seccomp,
    /// EACCES or EPERM because of kernel.perf_event_paranoid. Level 2 (the kernel's default) forbids sampling kernel
    /// code; 3 and more (a patch of Debian, Ubuntu and Android) forbid everything.
    #[error(
        "kernel.perf_event_paranoid is {level}, and this process has neither CAP_PERFMON nor CAP_SYS_ADMIN (root in a \
         rootless container has neither)"
    )]
    Paranoid {
        /// The setting.
        level: i32,
    },
    /// EACCES or EPERM for this target, although events on ourselves are allowed: the kernel asks the same as for
    /// reading the target's memory (ptrace(2), PTRACE_MODE_READ_REALCREDS).
    #[error("process {pid} belongs to another user or is protected, and this process lacks the capabilities to see it")]
    TargetDenied {
        /// The target.
        pid: u32,
    },
    /// EACCES or EPERM, and none of the usual reasons holds.
    #[error("perf_event_open is refused ({0}), probably by a security module such as SELinux")]
    Refused(Errno),
    /// ESRCH, or no thread left.
    #[error("process {pid} does not exist any more")]
    TargetGone {
        /// The target.
        pid: u32,
    },
    /// EMFILE or ENFILE with even the cheapest layout.
    #[error("too many open files: this process may open {limit}")]
    TooManyFiles {
        /// The hard limit of this process.
        limit: u64,
    },
    /// The rate is above the kernel's limit.
    #[error("{asked} samples a second are more than kernel.perf_event_max_sample_rate allows: {max}")]
    RateTooHigh {
        /// Samples a second that were asked for.
        asked: u32,
        /// The setting, which the kernel lowers by itself when samples take it too long.
        max: u32,
    },
    /// EPERM or ENOMEM for the memory of the smallest ring.
    #[error("the kernel gives no memory for a ring of records ({0})")]
    RingMemory(Errno),
    /// Anything else.
    #[error("perf_event_open failed: {0}")]
    Other(Errno),
}

/// An error number of a system call, displayed as the system words it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

impl From<&io::Error> for Errno {
    fn from(error: &io::Error) -> Errno {
        Errno(error.raw_os_error().unwrap_or(0))
    }
}

/// What `setcap` and containers need to be told; CAP_SYS_PTRACE is for reading the target's memory.
const CONTAINER: &str = "in Docker: --cap-add PERFMON --cap-add SYS_PTRACE (add --security-opt seccomp=unconfined where \
     the runtime's profile is older than CAP_PERFMON); in Kubernetes: securityContext.capabilities.add: [\"PERFMON\", \
     \"SYS_PTRACE\"]";

impl OpenError {
    /// What is missing from a profile because of this error.
    pub const CONSEQUENCE: &str = "goroutines that run on a CPU are seen, but not where in the code they are";

    /// What to do about it: commands where there are some.
    pub fn remedy(&self) -> String {
        let program = std::env::current_exe().map_or_else(|_| "PROGRAM".to_owned(), |path| path.display().to_string());
        let setcap = format!("sudo setcap cap_perfmon,cap_sys_ptrace+ep {program}");
        match self {
            OpenError::NoSyscall => "run on the host, or on a kernel with CONFIG_PERF_EVENTS".to_owned(),
            OpenError::Seccomp => format!("{CONTAINER}; or run it on the host"),
            OpenError::Paranoid { level } => {
                // What the level must be for events of one's own processes: 2 for user code, 1 for kernel code.
                let wanted = if *level > 2 { 2 } else { 1 };
                format!(
                    "run it with sudo; or {setcap}; or sudo sysctl kernel.perf_event_paranoid={wanted}; {CONTAINER}"
                )
            }
            OpenError::TargetDenied { pid } => {
                format!("run it with sudo or as the user of process {pid}; or {setcap}; {CONTAINER}")
            }
            OpenError::Refused(_) => {
                "run it with sudo, or look for the denial in the kernel log (dmesg, ausearch -m avc)".to_owned()
            }
            OpenError::TargetGone { .. } => "give the id of a process that runs".to_owned(),
            OpenError::TooManyFiles { .. } => "raise the hard limit: ulimit -Hn, LimitNOFILE= in systemd".to_owned(),
            OpenError::RateTooHigh { max, .. } => {
                format!("ask for at most {max}, or sudo sysctl kernel.perf_event_max_sample_rate=…")
            }
            OpenError::RingMemory(_) => {
                "sudo sysctl kernel.perf_event_mlock_kb=2048, or end other programs that use perf".to_owned()
            }
            OpenError::Other(_) => "report this with the output of uname -a".to_owned(),
        }
    }

    /// Names the cause of a refused event. `target` is the process it was for; `self_probe` tries the same event on
    /// ourselves, to tell a protected target from missing rights.
    pub(crate) fn explain(
        error: &io::Error,
        target: Option<u32>,
        self_probe: impl FnOnce() -> io::Result<()>,
    ) -> OpenError {
        let errno = Errno::from(error);
        match (errno.0, target) {
            // Some filters answer as if there were no such call; the setting shows that the kernel has it.
            (libc::ENOSYS, _) if proc::setting::<i32>("perf_event_paranoid").is_some() => OpenError::Seccomp,
            (libc::ENOSYS, _) => OpenError::NoSyscall,
            (libc::ESRCH, Some(pid)) => OpenError::TargetGone { pid },
            (libc::EMFILE | libc::ENFILE, _) => {
                OpenError::TooManyFiles { limit: crate::sys::descriptor_limits().map_or(0, |(_, hard)| hard) }
            }
            (libc::EACCES | libc::EPERM, Some(pid)) => match self_probe() {
                Ok(()) => OpenError::TargetDenied { pid },
                Err(error) => OpenError::refused_for_ourselves(Errno::from(&error), 2),
            },
            (libc::EACCES | libc::EPERM, None) => OpenError::refused_for_ourselves(errno, 2),
            _ => OpenError::Other(errno),
        }
    }

    /// The cause of EACCES or EPERM for an event on ourselves, which `allowed_level` of paranoia would permit.
    pub(crate) fn refused_for_ourselves(errno: Errno, allowed_level: i32) -> OpenError {
        // The kernel itself says EACCES; EPERM is what the filters of container runtimes answer.
        if errno.0 == libc::EPERM && proc::rights().seccomp_filter {
            return OpenError::Seccomp;
        }
        match proc::setting("perf_event_paranoid") {
            Some(level) if level > allowed_level => OpenError::Paranoid { level },
            _ => OpenError::Refused(errno),
        }
    }
}
