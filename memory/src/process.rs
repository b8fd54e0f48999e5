//! A live process: what `/proc` says about it, and the way to its memory.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use thiserror::Error;

use crate::auxv;
use crate::bias::{self, BiasError, LoadBias};
use crate::elf::Shape;
use crate::exe::ExeFile;
use crate::live::Live;
use crate::maps::{self, Mapping};
use crate::namespaces::Namespaces;
use crate::open::{self, OpenError, Opened};
use crate::procdir::{ProcDir, errno_of, path_of};
use crate::space::AddressSpace;
use crate::stat::{Stat, TaskState};
use crate::threads::{Thread, ThreadList};

/// The most bytes of a command line that are kept; the kernel allows a quarter of the stack limit, usually 2 MiB.
const MAX_COMMAND_LINE: u64 = 64 << 10;
/// The most bytes of a memory map that are read.
const MAX_MAPS: u64 = 256 << 20;
/// How long an exec may take to end the process's other threads.
const EXEC_TIME: Duration = Duration::from_millis(200);
/// How often a process may replace its program while we open it.
const OPEN_ATTEMPTS: usize = 3;

/// What has become of a process since it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It still runs the same program in the same memory.
    Same,
    /// It still exists under the same id, but has replaced its program by execve(2): nothing known about its memory
    /// holds any more. [`Process::open`] it anew to go on.
    Execed,
    /// It has exited.
    Exited,
}

/// Why something about a process that is already open could not be found out.
#[derive(Debug, Error)]
pub enum ProcError {
    /// The process has exited.
    #[error("the target process has exited")]
    Gone,
    /// The kernel said something else.
    #[error("/proc/{pid}/{file} cannot be read: {source}")]
    Io {
        /// The process.
        pid: u32,
        /// The file.
        file: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// A live process that we may read.
///
/// It is bound to the one process that it was opened on: should that exit and its id be given to another, nothing here
/// speaks of the other. What the getters return was true when the process was opened; methods that return a `Result`
/// or an `Option` ask the kernel anew.
#[derive(Debug)]
pub struct Process {
    asked: u32,
    pid: u32,
    dir: ProcDir,
    space: Arc<AddressSpace>,
    stat: Stat,
    uid: u32,
    ns_pids: Vec<u32>,
    exe: ExeFile,
    exe_path: PathBuf,
    exe_deleted: bool,
    command_line: Vec<String>,
    namespaces: Namespaces,
    threads: Mutex<ThreadList>,
}

impl Process {
    /// Opens the process that `id` names, or is a thread of, and proves by reading that its memory can be read.
    ///
    /// The process notices nothing: it is not stopped, signalled or traced. One that is opened in the middle of an exec
    /// is the new program already, but its command line may still be empty.
    pub fn open(id: u32) -> Result<Process, OpenError> {
        for _ in 0..OPEN_ATTEMPTS {
            let process = Process::describe(id, open::open(id)?)?;
            // All of it belongs together only if the program was not replaced meanwhile.
            match process.still_same() {
                Fate::Same => return Ok(process),
                Fate::Execed => {}
                Fate::Exited => return Err(OpenError::Exited { pid: process.pid }),
            }
        }
        Err(OpenError::Unstable { pid: id })
    }

    fn describe(asked: u32, opened: Opened) -> Result<Process, OpenError> {
        let Opened { pid, dir, space, status, stat } = opened;
        let exe = dir.open("exe").map_err(|errno| open::no_exe(pid, errno))?;
        let exe = ExeFile::from_file(exe).map_err(|error| open::failed(pid, "exe", errno_of(&error)))?;
        let link = dir.link("exe").map_err(|errno| open::failed(pid, "exe", errno))?;
        let (exe_path, exe_deleted) = without_deleted(link, |path| is_at(&dir, path, &exe));
        let command_line =
            dir.read("cmdline", MAX_COMMAND_LINE).map_err(|errno| open::failed(pid, "cmdline", errno))?;
        Ok(Process {
            asked,
            pid,
            space,
            stat,
            uid: status.uid[1],
            threads: Mutex::new(ThreadList::new(pid, &status.ns_pid)),
            ns_pids: status.ns_pid,
            exe,
            exe_path,
            exe_deleted,
            command_line: arguments(&command_line),
            namespaces: Namespaces::of(&dir),
            dir,
        })
    }

    /// Its process id, in our PID namespace.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The thread id that [`open`](Process::open) was given in place of a process id, if so.
    pub fn asked_by_thread(&self) -> Option<u32> {
        (self.asked != self.pid).then_some(self.asked)
    }

    /// Its process id in each PID namespace it is visible in, ours first, its own last.
    pub fn ns_pids(&self) -> &[u32] {
        &self.ns_pids
    }

    /// Its process id in its own PID namespace: what `getpid` returns in it.
    pub fn ns_pid(&self) -> u32 {
        self.ns_pids.last().copied().unwrap_or(self.pid)
    }

    /// The effective user id it ran under.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// When it started, as time since boot. Together with the id it names a process uniquely.
    pub fn start_time(&self) -> Duration {
        self.stat.start_time()
    }

    /// The path of its executable, as the process itself sees it: in a container this is a path in the container.
    pub fn exe_path(&self) -> &Path {
        &self.exe_path
    }

    /// The executable has been deleted or replaced by another file since the program started.
    pub fn exe_deleted(&self) -> bool {
        self.exe_deleted
    }

    /// The executable itself, opened through the process: right for deleted files and in containers.
    pub fn exe(&self) -> &ExeFile {
        &self.exe
    }

    /// The arguments it was started with, the program's name first; at most 64 KiB of them. A process may overwrite
    /// them. Bytes that are not UTF-8 are replaced.
    pub fn command_line(&self) -> &[String] {
        &self.command_line
    }

    /// In which namespaces it lives apart from us.
    pub fn namespaces(&self) -> Namespaces {
        self.namespaces
    }

    /// A hint: it probably runs in a container that we are outside of (its PID or mount namespace is another).
    pub fn in_container(&self) -> bool {
        self.namespaces.pid == Some(true) || self.namespaces.mount == Some(true)
    }

    /// A reader of its memory.
    pub fn memory(&self) -> Live {
        Live::new(i32::try_from(self.pid).unwrap_or(i32::MAX), Arc::clone(&self.space))
    }

    /// What has become of it.
    ///
    /// While nothing has, this costs one small system call: about 0.3 µs, or 3 µs where we have `CAP_SYS_PTRACE` but no
    /// rights to the target's files. It tells even an exec of the very same program.
    pub fn still_same(&self) -> Fate {
        if self.space.is_alive() {
            return Fate::Same;
        }
        // A process on its way out has no memory and hence no executable; one that has execed has another.
        let dead = !matches!(self.stat_of("stat"), Some(stat) if stat.state != TaskState::Dead);
        let no_exe = || matches!(self.dir.link("exe"), Err(Errno::NOENT | Errno::SRCH));
        if dead || no_exe() { Fate::Exited } else { Fate::Execed }
    }

    /// What became of it after a read said that it is gone. Waits for the end of an exec that is under way: its first
    /// thread is dead then while another one becomes the process (the kernel's `fs/exec.c`, `de_thread`), so it cannot
    /// be read although its memory is still there.
    pub fn fate_after_loss(&self) -> Fate {
        let deadline = Instant::now() + EXEC_TIME;
        loop {
            match self.still_same() {
                Fate::Same if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
                Fate::Same => return Fate::Exited,
                fate => return fate,
            }
        }
    }

    /// Its threads, by ascending id.
    ///
    /// Only threads that were not there the last time cost more than their place in a list, and that only in another
    /// PID namespace.
    pub fn threads(&self) -> Result<Vec<Thread>, ProcError> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.refresh(&self.dir).map_err(|errno| self.error("task", errno))
    }

    /// What the scheduler says thread `tid` (an id in our PID namespace) is doing. `None` when there is none. Costs about
    /// 10 µs: the kernel writes 52 columns for it.
    pub fn thread_state(&self, tid: u32) -> Option<TaskState> {
        Some(self.stat_of(&format!("task/{tid}/stat"))?.state)
    }

    /// How long thread `tid` (an id in our PID namespace) has been on a CPU. `None` when there is no such thread, or on
    /// a kernel without `CONFIG_SCHED_INFO`. Costs about 5 µs.
    pub fn thread_times(&self, tid: u32) -> Option<crate::SchedTimes> {
        crate::SchedTimes::parse(&self.dir.read(&format!("task/{tid}/schedstat"), 256).ok()?)
    }

    /// The CPU time that all its threads have used so far, of those too that have ended, to 10 ms. `None` when it is gone.
    pub fn cpu_time(&self) -> Option<Duration> {
        Some(self.stat_of("stat")?.cpu_time())
    }

    /// The first `limit` bytes of a file of its folder in `/proc`.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Option<Vec<u8>> {
        self.dir.read(name, limit).ok()
    }

    /// What is mapped in its memory, by ascending address.
    pub fn maps(&self) -> Result<Vec<Mapping>, ProcError> {
        let file = self.dir.open("maps").map_err(|errno| self.error("maps", errno))?;
        maps::parse(BufReader::with_capacity(64 << 10, file.take(MAX_MAPS)))
            .map_err(|error| self.error("maps", errno_of(&error)))
    }

    /// Where its executable was loaded.
    ///
    /// The auxiliary vector proposes, the mappings of the executable propose where that fails, and the ELF header in
    /// the target's memory decides.
    pub fn load_bias(&self) -> Result<LoadBias, BiasError> {
        let shape = Shape::read(&self.exe).ok_or(BiasError::NotElf)?;
        let auxv = self.dir.read("auxv", auxv::MAX_BYTES).unwrap_or_default();
        let maps = || {
            let maps = self.maps().unwrap_or_default();
            maps.into_iter().filter(|mapping| self.maps_exe(mapping)).collect()
        };
        bias::find(&shape, auxv::parse(&auxv), maps, &self.memory())
    }

    /// Those of `mappings` that have code of the executable's.
    pub fn exe_mappings(&self, mappings: &[Mapping]) -> Vec<Mapping> {
        mappings.iter().filter(|mapping| mapping.executable && self.maps_exe(mapping)).cloned().collect()
    }

    /// Whether a mapping is one of the executable's. The inode must agree, and with it either the device or the path:
    /// on btrfs and overlayfs the device here is not that of stat(2), and a path alone may have got another file.
    pub(crate) fn maps_exe(&self, mapping: &Mapping) -> bool {
        let (device, inode) = self.exe.id();
        let path = mapping.path.as_deref().map(|path| path.as_os_str().as_bytes());
        let path = path.map(|path| path.strip_suffix(DELETED).unwrap_or(path));
        mapping.inode == inode && (mapping.device == device || path == Some(self.exe_path.as_os_str().as_bytes()))
    }

    /// Opens a regular file by its path in the target's own file system (`/proc/PID/root`). The path cannot lead out of
    /// it, and opening cannot block. Needs Linux 5.6.
    pub fn open_file(&self, path: &Path) -> std::io::Result<File> {
        let file = self.dir.open_inside("root", path)?;
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(file)
    }

    pub(crate) fn dir(&self) -> &ProcDir {
        &self.dir
    }

    fn stat_of(&self, name: &str) -> Option<Stat> {
        Stat::parse(&self.dir.read(name, 4096).ok()?)
    }

    fn error(&self, file: &'static str, errno: Errno) -> ProcError {
        match errno {
            Errno::NOENT | Errno::SRCH => ProcError::Gone,
            other => ProcError::Io { pid: self.pid, file, source: other.into() },
        }
    }
}

/// What the kernel puts behind the path of a deleted file (`d_path` in its `fs/d_path.c`).
pub(crate) const DELETED: &[u8] = b" (deleted)";

/// Splits the kernel's mark from a path, unless the path with the mark is the file's real name.
fn without_deleted(link: Vec<u8>, is_there: impl Fn(&Path) -> bool) -> (PathBuf, bool) {
    match link.strip_suffix(DELETED) {
        Some(bare) if !is_there(Path::new(OsStr::from_bytes(&link))) => (path_of(bare.to_vec()), true),
        _ => (path_of(link), false),
    }
}

/// Whether `path`, as the process sees it, is the file that it runs.
fn is_at(dir: &ProcDir, path: &Path, exe: &ExeFile) -> bool {
    let file = dir.open_inside("root", path).and_then(|file| rustix::fs::fstat(&file));
    file.is_ok_and(|stat| crate::exe::id_of(&stat) == exe.id())
}

/// Splits a command line at its NUL bytes.
fn arguments(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|&b| b == 0).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_of_deleted_files_is_told_from_a_name() {
        let gone = |_: &Path| false;
        assert_eq!(without_deleted(b"/a/b".to_vec(), gone), (PathBuf::from("/a/b"), false));
        assert_eq!(without_deleted(b"/a/b (deleted)".to_vec(), gone), (PathBuf::from("/a/b"), true));
        let there = |path: &Path| path == Path::new("/a/b (deleted)");
        assert_eq!(without_deleted(b"/a/b (deleted)".to_vec(), there), (PathBuf::from("/a/b (deleted)"), false));
    }

    #[test]
    fn may_be_shared_between_threads() {
        fn shared<T: Send + Sync + 'static>() {}
        shared::<Process>();
        shared::<Live>();
        shared::<crate::Snapshot>();
    }

    #[test]
    fn command_lines_are_split() {
        assert_eq!(arguments(b""), Vec::<String>::new());
        assert_eq!(arguments(b"a\0\0b c\0"), ["a", "", "b c"]);
        assert_eq!(arguments(b"title without end"), ["title without end"]);
        assert_eq!(arguments(b"\xff\0"), ["\u{fffd}"]);
    }
}
