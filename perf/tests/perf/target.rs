//! A child process to sample, from the parent's side.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::child::ROLE;

/// A child that obeys commands. Killed when dropped.
pub(crate) struct Target {
    child: Child,
    /// Differs from the child's where that only starts and awaits the target.
    pid: u32,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Target {
    /// A child that may run on all CPUs.
    pub(crate) fn start() -> Target {
        Target::spawn(Command::new(own_path()))
    }

    /// A child that may run on one CPU only, the first that this process may use itself.
    pub(crate) fn start_on_one_cpu() -> Target {
        let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("a list");
        let first = allowed.trim().split(['-', ',']).next().expect("a CPU");
        let mut command = Command::new("taskset");
        command.arg("-c").arg(first).arg(own_path());
        Target::spawn(command)
    }

    /// A child that is the first process of a new PID namespace. Only root may do that.
    pub(crate) fn start_in_a_pid_namespace() -> Target {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child"]).arg(own_path());
        let mut target = Target::spawn(command);
        let unshare = target.child.id();
        let children = std::fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).expect("it lives");
        target.pid = children.trim().parse().expect("unshare has one child");
        target
    }

    fn spawn(mut command: Command) -> Target {
        let command = command.env(ROLE, "obey").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the child starts");
        let commands = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        let mut target = Target { pid: child.id(), child, commands, answers };
        // An answer proves that it is the child itself, no longer the program that started it.
        assert_eq!(target.ask("park 0"), "");
        target
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a command and waits for the answer.
    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.send(command);
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the child answers");
        assert!(answer.ends_with('\n'), "the child died of `{command}`");
        answer.trim_end().to_owned()
    }

    /// Sends a command that has no answer.
    pub(crate) fn send(&mut self, command: &str) {
        writeln!(self.commands, "{command}").expect("the child lives");
    }

    /// Starts threads, told by a command, and gives their ids.
    pub(crate) fn threads(&mut self, command: &str) -> Vec<u32> {
        self.ask(command).split_whitespace().map(|tid| tid.parse().expect("a tid")).collect()
    }

    /// Nanoseconds that a thread has been on a CPU, by the scheduler's own account (proc_pid_schedstat).
    pub(crate) fn cpu_ns(&self, tid: u32) -> u64 {
        let path = format!("/proc/{}/task/{tid}/schedstat", self.pid());
        let schedstat = std::fs::read_to_string(path).expect("the thread lives");
        schedstat.split_whitespace().next().and_then(|ns| ns.parse().ok()).expect("a number")
    }

    /// All its threads.
    pub(crate) fn all_threads(&self) -> Vec<u32> {
        let entries = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it lives");
        entries
            .map(|entry| entry.expect("an entry").file_name().to_str().expect("text").parse().expect("a tid"))
            .collect()
    }

    /// Lets it end by itself and waits for that.
    pub(crate) fn quit(mut self) {
        self.send("quit");
        assert!(self.child.wait().expect("the child ends").success());
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The path of this program.
pub(crate) fn own_path() -> std::path::PathBuf {
    std::env::current_exe().expect("own path")
}
