//! The system calls that a program makes, by strace, and what they do to another process.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use regex::Regex;

/// Calls that concern nobody but the caller: its memory, threads, time, signal handlers, files and sockets. What they do to
/// files is judged by the files.
const OWN: &[&str] = &[
    "accept4",
    "access",
    "arch_prctl",
    "bind",
    "brk",
    "clock_gettime",
    "clock_nanosleep",
    "clone",
    "clone3",
    "close",
    "connect",
    "dup",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_wait",
    "eventfd2",
    "execve",
    "exit",
    "exit_group",
    "faccessat",
    "fcntl",
    "fstat",
    "fsync",
    "futex",
    "getcwd",
    "getdents64",
    "getegid",
    "geteuid",
    "getgid",
    "getpeername",
    "getpid",
    "getrandom",
    "getsockname",
    "getsockopt",
    "gettid",
    "getuid",
    "ioctl",
    "listen",
    "lseek",
    "lstat",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "nanosleep",
    "newfstatat",
    "poll",
    "ppoll",
    "prctl",
    "pread64",
    "prlimit64",
    "read",
    "readlink",
    "readlinkat",
    "readv",
    "recvfrom",
    "recvmsg",
    "rename",
    "renameat",
    "renameat2",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_getattr",
    "sched_setattr",
    "sched_yield",
    "sendmsg",
    "sendto",
    "set_robust_list",
    "set_tid_address",
    "setsockopt",
    "shutdown",
    "sigaltstack",
    "socket",
    "socketpair",
    "stat",
    "statx",
    "sysinfo",
    "uname",
    "unlink",
    "unlinkat",
    "write",
    "writev",
];

/// One call: its name, and its arguments as strace prints them, without what strings hold.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: String,
    /// What strace prints after the arguments; empty if the call did not return.
    pub(crate) result: String,
}

/// Whether strace works here.
pub(crate) fn works() -> Result<(), String> {
    let output = Command::new("strace").args(["-D", "-o", "/dev/null", "true"]).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("strace may not trace here: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("there is no strace ({error}); it is in the package of that name")),
    }
}

/// The same command, but its calls and those of its threads and children are written to `file`.
///
/// The process that is started is the program itself, not strace, which traces it from a process of its own.
pub(crate) fn traced(command: &Command, file: &Path) -> Command {
    let mut strace = Command::new("strace");
    // Descriptors with what they are open on, strings without what they hold; names of files are no strings to strace.
    strace.args(["-D", "-f", "-y", "-s", "0", "-o"]).arg(file).arg(command.get_program()).args(command.get_args());
    strace.stdout(Stdio::piped());
    if let Some(folder) = command.get_current_dir() {
        strace.current_dir(folder);
    }
    strace
}

/// The calls in what strace wrote.
///
/// A thread that is killed as it enters a call never makes it (Linux, `syscall_trace_enter`), and strace, which asks which
/// call it is, may find it gone: then it writes `???(`. That stands for no call, if the thread's end is what follows.
pub(crate) fn calls(text: &str) -> Vec<Call> {
    static LINE: OnceLock<Regex> = OnceLock::new();
    // A call that another thread's came in between stands in two lines.
    let line = LINE.get_or_init(|| {
        let whole = r"(?<name>\w+)\((?<arguments>.*)\) += (?<result>.*)";
        let begun = r"(?<begun>\w+)\((?<so_far>.*)<unfinished \.\.\.>(?:\) += \?)?";
        let ended = r"<\.\.\. \w+ resumed>(?<rest>.*)\) += (?<late>.*)";
        let killed = r"(?<killed>\?+\(.*)";
        let end = r"(?<end>\+\+\+ .* \+\+\+)";
        let other = r"--- .* ---";
        Regex::new(&format!(r"^(?<thread>\d+) +(?:{ended}|{killed}|{end}|{other}|{begun}|{whole})$")).unwrap()
    });
    let mut killed: HashSet<&str> = HashSet::new();
    let mut calls: Vec<Call> = Vec::new();
    let mut under_way: HashMap<&str, usize> = HashMap::new();
    for text in text.lines() {
        let found = line.captures(text).unwrap_or_else(|| panic!("strace wrote {text:?}"));
        let part = |name| found.name(name).map_or("", |found| found.as_str()).to_owned();
        let thread = found.name("thread").map_or("", |found| found.as_str());
        let ends = found.name("end").is_some();
        assert!(!killed.remove(thread) || ends, "a call without a name was followed by {text:?}");
        if found.name("killed").is_some() {
            killed.insert(thread);
        } else if found.name("name").is_some() {
            calls.push(Call { name: part("name"), arguments: part("arguments"), result: part("result") });
        } else if found.name("begun").is_some() {
            under_way.insert(thread, calls.len());
            calls.push(Call { name: part("begun"), arguments: part("so_far"), result: String::new() });
        } else if let Some(call) = under_way.remove(thread).and_then(|index| calls.get_mut(index)) {
            call.arguments += &part("rest");
            call.result = part("late");
        }
    }
    assert!(killed.is_empty(), "a call without a name, and no end of its thread: {killed:?}");
    calls
}

impl Call {
    /// What this call does to process `pid`, or to any process but the caller, that looking at it does not need.
    pub(crate) fn objection(&self, pid: u32) -> Option<&'static str> {
        let first = self.arguments.split([',', ' ']).next().unwrap_or_default();
        match self.name.as_str() {
            "process_vm_readv" if first == pid.to_string() => None,
            "process_vm_readv" => Some("reads another process than it was told to"),
            "perf_event_open" => self.of_perf(pid),
            "open" | "openat" => {
                let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND"];
                let to_write = writes.iter().any(|flag| self.arguments.contains(flag));
                (to_write && self.names_a_process()).then_some("opens a file of a process for writing")
            }
            "write" | "writev" | "ioctl" | "unlink" | "rename" | "sendto" | "sendmsg" if self.names_a_process() => {
                Some("changes a file of a process")
            }
            // 0 stands for the caller.
            "prlimit64" | "sched_getattr" | "sched_setattr" if first != "0" => Some("concerns another process"),
            name if OWN.contains(&name) => None,
            _ => Some("is not among the calls that looking needs"),
        }
    }

    /// Only clocks and notes of what happened: no breakpoints, no probes, no signal to the target.
    fn of_perf(&self, pid: u32) -> Option<&'static str> {
        let (attributes, rest) = self.arguments.rsplit_once("}, ").unwrap_or_default();
        let harmless = attributes.contains("type=PERF_TYPE_SOFTWARE")
            && ["CPU_CLOCK", "DUMMY"].iter().any(|kind| attributes.contains(&format!("config=PERF_COUNT_SW_{kind},")))
            && !attributes.contains("sigtrap=1");
        // Process 0 is the caller: it tries what it may do.
        let target = rest.split(',').next().unwrap_or_default();
        if !harmless {
            Some("is an event that may disturb")
        } else if target == pid.to_string() || target == "0" || is_thread(pid, target) {
            None
        } else if target == "-1" && attributes.contains("exclude_idle=1") {
            // Whole CPUs, of which only the target's samples are kept.
            None
        } else {
            Some("listens to another process than it was told to")
        }
    }

    /// Whether it is about a file below the folder of another process in `/proc`.
    fn names_a_process(&self) -> bool {
        static FOLDER: OnceLock<Regex> = OnceLock::new();
        FOLDER.get_or_init(|| Regex::new(r#"[<"]/proc/\d+[/>"]"#).unwrap()).is_match(&self.arguments)
    }

    /// Whether it reached what it was about.
    pub(crate) fn succeeded(&self) -> bool {
        !self.result.is_empty() && !self.result.starts_with('-')
    }
}

fn is_thread(pid: u32, tid: &str) -> bool {
    Path::new("/proc").join(pid.to_string()).join("task").join(tid).exists()
}
