//! Starting the processes that tests look at.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// The environment variable that makes this program play a role instead of running tests.
pub(crate) const ROLE: &str = "FGSPY_MEMORY_TEST_ROLE";

/// A user that owns nothing.
pub(crate) const NOBODY: u32 = 65534;

/// A child process to talk to by lines. Killed when dropped.
pub(crate) struct Target {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Target {
    pub(crate) fn spawn(command: &mut Command) -> Target {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("spawn");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("stdout"));
        Target { child, stdin, stdout }
    }

    /// This program in another role.
    pub(crate) fn role(role: &str) -> Target {
        Target::spawn(&mut role_command(role))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that the child writes.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("read");
        assert!(line.ends_with('\n'), "the child ended after {line:?}");
        line.trim_end().to_owned()
    }

    /// The next line, as hexadecimal numbers.
    pub(crate) fn numbers(&mut self) -> Vec<u64> {
        self.line().split(' ').map(|word| u64::from_str_radix(word, 16).expect("a number")).collect()
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().expect("stdin"), "{line}").expect("write");
    }

    /// Kills it, leaving the zombie.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("kill");
        let pid = self.pid();
        until("it is a zombie", || state(pid) == Some('Z'));
    }

    /// Collects the zombie.
    pub(crate) fn reap(&mut self) {
        self.child.wait().expect("wait");
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn role_command(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("current_exe"));
    command.env(ROLE, role);
    command
}

/// `before` and then this program in another role: for `setpriv ...` and `unshare ...`.
pub(crate) fn wrapped_role(before: &[&str], role: &str) -> Command {
    let (first, rest) = before.split_first().expect("a program");
    let mut command = Command::new(first);
    command.args(rest).arg(std::env::current_exe().expect("current_exe")).env(ROLE, role);
    command
}

/// Waits for a condition, at most ten seconds.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The state letter of a process.
pub(crate) fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// The one process whose parent is `parent`.
pub(crate) fn child_of(parent: u32) -> u32 {
    let mut found = None;
    until("the child is there", || {
        let processes = std::fs::read_dir("/proc").expect("/proc");
        let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        found = ids.into_iter().find(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let after_name = stat.rsplit_once(')').map_or("", |(_, after)| after);
            after_name.split_whitespace().nth(1) == Some(&parent.to_string())
        });
        found.is_some()
    });
    found.expect("found")
}

/// Why a command cannot be tried here, if so.
pub(crate) fn missing(why: &'static str, program: &str, args: &[&str]) -> Option<&'static str> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let works = command.status().is_ok_and(|status| status.success());
    (!works).then_some(why)
}

/// Why tests that need root cannot be run, if so.
pub(crate) fn not_root() -> Option<&'static str> {
    (std::fs::read_to_string("/proc/self/status").is_ok_and(|text| !text.contains("\nUid:\t0\t0\t0\t0\n")))
        .then_some("not root")
}

/// A copy of an executable in a new directory that everybody may enter.
///
/// Copied by another process: a file that we have open for writing while another test forks is still open for writing
/// in that test's child, and until that has execed the copy cannot be run (`ETXTBSY`).
pub(crate) fn copy_of(program: &Path, name: impl AsRef<OsStr>) -> (tempfile::TempDir, std::path::PathBuf) {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("tempdir");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("chmod");
    let path = dir.path().join(name.as_ref());
    assert!(Command::new("cp").arg(program).arg(&path).status().expect("cp").success());
    (dir, path)
}
