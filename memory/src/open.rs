//! Attaching to a process: every way in which it can fail has a name.

use std::io::Read;
use std::sync::Arc;

use rustix::io::Errno;
use thiserror::Error;

use crate::denial::{Denial, diagnose};
use crate::procdir::{ProcDir, errno_of};
use crate::space::AddressSpace;
use crate::stat::{Stat, TaskState};
use crate::status::Status;
use crate::{maps, sys};

/// Why a process cannot be opened. The message names the cause and, where there is one, the remedy.
#[derive(Debug, Error)]
pub enum OpenError {
    /// There is no process or thread with this id.
    #[error("no process has the id {pid} (it may have exited; a container numbers its own processes differently)")]
    NoSuchProcess {
        /// The id that was asked for.
        pid: u32,
    },
    /// The process exists, but `/proc` does not show it to us.
    #[error(
        "process {pid} exists, but /proc hides it (mount option hidepid)\n  run as root: sudo fgspy ...\n  \
         or: sudo mount -o remount,hidepid=0 /proc"
    )]
    Hidden {
        /// The id that was asked for.
        pid: u32,
    },
    /// It is a thread of the kernel, which has no memory of its own.
    #[error("process {pid} is a kernel thread: it runs no program that could be profiled")]
    KernelThread {
        /// Its id.
        pid: u32,
    },
    /// It has exited; its entry stays until its parent collects it (a zombie).
    #[error("process {pid} has exited already (it is a zombie until its parent collects it)")]
    Exited {
        /// Its id.
        pid: u32,
    },
    /// The kernel refuses to let us read it.
    #[error("reading process {pid} (user id {owner}) is not permitted to user id {ours}: {reason}{}",
        hints(reason.remedies()))]
    PermissionDenied {
        /// Its id.
        pid: u32,
        /// The effective user id it runs under.
        owner: u32,
        /// The user id that we run under.
        ours: u32,
        /// Which check failed.
        reason: Denial,
    },
    /// `/proc` is not mounted, or shows the processes of another PID namespace than the one we are in, so that ids in
    /// it mean other processes to us.
    #[error(
        "/proc {}: ids in it cannot be trusted\n  mount the one that belongs here: mount -t proc proc /proc\n  \
         or enter the other namespace whole: nsenter --pid --mount --target PID fgspy ...",
        if *.mounted { "shows the processes of another PID namespace" } else { "is not mounted" }
    )]
    ForeignProc {
        /// `/proc` is there, but is another namespace's.
        mounted: bool,
    },
    /// The kernel does not offer `process_vm_readv`.
    #[error(
        "process_vm_readv is not available here: Linux before 3.2, a kernel without CONFIG_CROSS_MEMORY_ATTACH, or a \
         sandbox such as gVisor\n  run fgspy on the host, outside the sandbox"
    )]
    Unsupported,
    /// It replaced its program again and again while it was being opened.
    #[error("process {pid} keeps replacing its program while it is being opened\n  try again once it has settled")]
    Unstable {
        /// Its id.
        pid: u32,
    },
    /// Its memory may be read, but not its executable file: `CAP_SYS_PTRACE` gives no rights to files.
    #[error(
        "the executable of process {pid} may not be read by user id {ours}\n  run as root: sudo fgspy ...\n  \
         or once: sudo setcap cap_sys_ptrace,cap_perfmon,cap_dac_read_search+ep $(command -v fgspy)"
    )]
    UnreadableExe {
        /// Its id.
        pid: u32,
        /// The user id that we run under.
        ours: u32,
    },
    /// Reading is permitted, but nothing in its memory can be read.
    #[error("process {pid} has no readable memory, although reading it is permitted")]
    NothingReadable {
        /// Its id.
        pid: u32,
    },
    /// A file below `/proc/PID` could not be read for a reason that none of the others names.
    #[error("/proc/{pid}/{file} cannot be read: {source}")]
    Proc {
        /// The process.
        pid: u32,
        /// The file.
        file: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
}

fn hints(remedies: &[&str]) -> String {
    remedies.iter().map(|remedy| format!("\n  {remedy}")).collect()
}

/// A process whose memory has been read, and which has not changed its program since it was found.
pub(crate) struct Opened {
    pub(crate) pid: u32,
    pub(crate) dir: ProcDir,
    pub(crate) space: Arc<AddressSpace>,
    pub(crate) status: Status,
    pub(crate) stat: Stat,
}

/// Finds the process that `id` is, or is a thread of, and proves that its memory can be read.
pub(crate) fn open(id: u32) -> Result<Opened, OpenError> {
    check_proc()?;
    let task = ProcDir::of(id).map_err(|errno| absent(id, errno))?;
    let pid = status(&task, id)?.tgid;
    let dir = if pid == id { task } else { ProcDir::of(pid).map_err(|errno| absent(pid, errno))? };
    let status = status(&dir, pid)?;
    let stat = dir.read("stat", 4096).map_err(|errno| failed(pid, "stat", errno))?;
    let stat = Stat::parse(&stat).ok_or_else(|| failed(pid, "stat", Errno::INVAL))?;
    if stat.kernel_thread {
        return Err(OpenError::KernelThread { pid });
    }
    if stat.state == TaskState::Dead {
        return Err(OpenError::Exited { pid });
    }
    let denied = |dir: &ProcDir, status: &Status| OpenError::PermissionDenied {
        pid,
        owner: status.uid[1],
        ours: our_uid(),
        reason: diagnose(dir, status),
    };
    let refused = |file, errno| match errno {
        Errno::ACCESS | Errno::PERM => denied(&dir, &status),
        other => failed(pid, file, other),
    };
    match try_read(pid, 0) {
        Ok(()) | Err(Errno::FAULT) => {}
        Err(Errno::SRCH) => return Err(OpenError::Exited { pid }),
        Err(Errno::NOSYS) => return Err(OpenError::Unsupported),
        Err(errno) => return Err(refused("mem", errno)),
    }
    let space = AddressSpace::of(&dir).map_err(|errno| refused("maps", errno))?;
    let maps = dir.open("maps").map_err(|errno| refused("maps", errno))?;
    let maps = maps::parse(std::io::BufReader::new(maps.take(EARLY_MAPS)));
    let maps = maps.map_err(|error| refused("maps", errno_of(&error)))?;
    // Some early mappings cannot be read by anybody ([vvar], device memory), hence any.
    if !maps.iter().filter(|mapping| mapping.readable).any(|mapping| try_read(pid, mapping.start).is_ok()) {
        return Err(if space.is_alive() { OpenError::NothingReadable { pid } } else { OpenError::Exited { pid } });
    }
    Ok(Opened { pid, dir, space: Arc::new(space), status, stat })
}

/// How much of the memory map is looked at to find something readable.
const EARLY_MAPS: u64 = 16 << 10;

/// Whether a few bytes at `addr` can be read, by reading them.
fn try_read(pid: u32, addr: u64) -> Result<(), Errno> {
    let pid = i32::try_from(pid).map_err(|_| Errno::SRCH)?;
    let addr = usize::try_from(addr).map_err(|_| Errno::FAULT)?;
    sys::read_remote(pid, &[sys::remote(addr, 8)], &mut [0; 8]).map(|_| ())
}

fn status(dir: &ProcDir, pid: u32) -> Result<Status, OpenError> {
    let text = dir.read("status", 64 << 10).map_err(|errno| absent(pid, errno))?;
    Status::parse(&text).ok_or_else(|| failed(pid, "status", Errno::INVAL))
}

/// `process_vm_readv` takes ids of our own PID namespace, so `/proc` must speak of the same.
fn check_proc() -> Result<(), OpenError> {
    match std::fs::read_link("/proc/self") {
        Ok(own) if own.to_str() == Some(std::process::id().to_string().as_str()) => Ok(()),
        Ok(_) => Err(OpenError::ForeignProc { mounted: true }),
        Err(_) => Err(OpenError::ForeignProc { mounted: std::path::Path::new("/proc/self").is_symlink() }),
    }
}

/// Why there is nothing in `/proc/PID`. (Where processes are hidden, the folder itself can still be opened.)
fn absent(pid: u32, errno: Errno) -> OpenError {
    let raw = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let asked = raw.map(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()));
    // A thread id is refused (with EINVAL, since Linux 6.9 with ENOENT), but then a thread has it.
    let exists = matches!(asked, Some(Ok(_) | Err(Errno::INVAL | Errno::NOENT)));
    match errno {
        Errno::NOENT | Errno::SRCH | Errno::ACCESS | Errno::PERM if exists => OpenError::Hidden { pid },
        Errno::NOENT | Errno::SRCH => OpenError::NoSuchProcess { pid },
        other => failed(pid, "status", other),
    }
}

/// The user id that the kernel judges us by.
fn our_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The error for an executable that could not be opened.
pub(crate) fn no_exe(pid: u32, errno: Errno) -> OpenError {
    match errno {
        Errno::ACCESS | Errno::PERM => OpenError::UnreadableExe { pid, ours: our_uid() },
        other => failed(pid, "exe", other),
    }
}

/// The error for a file below `/proc/PID` that could not be read.
pub(crate) fn failed(pid: u32, file: &'static str, errno: Errno) -> OpenError {
    match errno {
        Errno::NOENT | Errno::SRCH => OpenError::Exited { pid },
        other => OpenError::Proc { pid, file, source: other.into() },
    }
}
