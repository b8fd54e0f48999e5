//! `/proc/PID` of one particular process.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, Stat};
use rustix::io::Errno;

/// An open `/proc/PID`. It stays with the process it was opened for: when that is gone, everything below fails with
/// `ESRCH`, even if another process has got the same id meanwhile.
#[derive(Debug)]
pub(crate) struct ProcDir {
    fd: OwnedFd,
}

impl ProcDir {
    /// Works for thread ids too: the kernel finds them, although `/proc` does not list them.
    pub(crate) fn of(pid: u32) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(ProcDir { fd: rustix::fs::open(format!("/proc/{pid}"), flags, Mode::empty())? })
    }

    pub(crate) fn open(&self, name: &str) -> Result<File, Errno> {
        self.open_with(name, OFlags::RDONLY)
    }

    fn open_with(&self, name: &str, flags: OFlags) -> Result<File, Errno> {
        Ok(rustix::fs::openat(&self.fd, name, flags | OFlags::CLOEXEC, Mode::empty())?.into())
    }

    /// The first `limit` bytes of a file.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, Errno> {
        let mut bytes = Vec::with_capacity(1024); // Most of these files are shorter.
        match self.open(name)?.take(limit).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(errno_of(&error)),
        }
    }

    /// Where a symbolic link points, in bytes as the kernel says it.
    pub(crate) fn link(&self, name: &str) -> Result<Vec<u8>, Errno> {
        Ok(rustix::fs::readlinkat(&self.fd, name, Vec::new())?.into_bytes())
    }

    /// What the name leads to: symbolic links are followed.
    pub(crate) fn stat(&self, name: &str) -> Result<Stat, Errno> {
        rustix::fs::statat(&self.fd, name, AtFlags::empty())
    }

    /// The thread ids under `task`, ascending.
    pub(crate) fn task_ids(&self) -> Result<Vec<u32>, Errno> {
        let dir = self.open_with("task", OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut ids = Vec::new();
        for entry in Dir::read_from(dir)? {
            ids.extend(entry?.file_name().to_str().ok().and_then(|name| name.parse::<u32>().ok()));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// Opens a file below a directory of this process, such as `root`, refusing every way out of it (`..`, absolute
    /// links). Never blocks on a FIFO.
    pub(crate) fn open_inside(&self, name: &str, path: &std::path::Path) -> Result<File, Errno> {
        let root = self.open_with(name, OFlags::PATH | OFlags::DIRECTORY)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        Ok(rustix::fs::openat2(&root, path, flags, Mode::empty(), rustix::fs::ResolveFlags::IN_ROOT)?.into())
    }
}

/// The error number in a standard-library error; `EIO` where there is none.
pub(crate) fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// A kernel path, which is bytes.
pub(crate) fn path_of(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(bytes))
}
