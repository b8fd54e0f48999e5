//! Whether something keeps a process from running: a signal that stopped it, a debugger, a frozen cgroup.

use std::fmt;
use std::path::PathBuf;

use crate::Process;
use crate::cgroup;
use crate::text::{lines, number, words};

/// Threads that are looked at; a stop concerns all of them.
const MAX_THREADS: usize = 64;
/// The most bytes of a `status` file that are read.
const MAX_STATUS: u64 = 64 << 10;

/// A process that cannot run, and how to let it go on.
///
/// Its text is a sentence without a full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The process.
    pub pid: u32,
    /// What keeps it from running.
    pub by: Holder,
}

/// What keeps a process from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A signal stopped it: SIGSTOP, SIGTSTP (Ctrl-Z), SIGTTIN or SIGTTOU. State `T`.
    Signal,
    /// A debugger, or another tracer, stopped it. State `t`.
    Debugger {
        /// The process id of the tracer, if it can be seen from our PID namespace.
        pid: Option<u32>,
    },
    /// A cgroup that it is in is frozen.
    Cgroup {
        /// The file to which the word that thaws the group is written.
        file: PathBuf,
        /// That word.
        thaw: &'static str,
    },
}

impl Holder {
    /// In a few words: `stopped by a signal`.
    pub fn words(&self) -> &'static str {
        match self {
            Holder::Signal => "stopped by a signal",
            Holder::Debugger { .. } => "stopped by a debugger",
            Holder::Cgroup { .. } => "frozen by its cgroup",
        }
    }
}

impl Held {
    /// How to let the process go on: a command, or what to do.
    pub fn remedy(&self) -> String {
        match &self.by {
            Holder::Signal => format!("kill -CONT {}", self.pid),
            Holder::Debugger { pid: Some(pid) } => format!("`continue` in the debugger (process {pid})"),
            Holder::Debugger { pid: None } => "`continue` in the debugger".to_owned(),
            // A group may have any name.
            Holder::Cgroup { file, thaw } => format!("echo {thaw} > {}", file.display().to_string().escape_debug()),
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} is {}: none of it runs. To continue it: {}", self.pid, self.by.words(), self.remedy())
    }
}

impl Process {
    /// What keeps the process from running now; `None` if nothing does.
    ///
    /// For a process that runs this costs some ten reads of small files, most of them for its cgroups.
    pub fn held(&self) -> Option<Held> {
        let by = self.stopped().or_else(|| self.frozen())?;
        Some(Held { pid: self.pid(), by })
    }

    /// A stop concerns all threads. One that was only just begun, or a tracer that stops one thread at each of its system
    /// calls, does not count.
    fn stopped(&self) -> Option<Holder> {
        let mut found = None;
        for thread in self.threads().ok()?.iter().take(MAX_THREADS) {
            let Some(status) = self.read(&format!("task/{}/status", thread.tid), MAX_STATUS) else { continue };
            let (letter, tracer) = state_and_tracer(&status)?;
            match letter {
                b'T' => found = Some(Holder::Signal),
                b't' => found = Some(Holder::Debugger { pid: process_of(tracer) }),
                // The first thread may have ended before the others.
                b'Z' | b'X' | b'x' => {}
                _ => return None,
            }
        }
        found
    }

    fn frozen(&self) -> Option<Holder> {
        let frozen = self.in_groups(cgroup::FREEZER, &|version, folders, read| {
            let group = cgroup::frozen(version, folders, read)?;
            Some(match version {
                cgroup::Version::V2 => Holder::Cgroup { file: group.join("cgroup.freeze"), thaw: "0" },
                cgroup::Version::V1 => Holder::Cgroup { file: group.join("freezer.state"), thaw: "THAWED" },
            })
        });
        frozen.into_iter().next()
    }
}

/// The state's letter and the id of the tracing thread, 0 for none, of the text of a `status` file.
fn state_and_tracer(status: &[u8]) -> Option<(u8, u32)> {
    let value = |key: &[u8]| lines(status).find_map(|line| line.strip_prefix(key));
    let &[letter] = words(value(b"State:")?).next()? else { return None };
    Some((letter, u32::try_from(number(value(b"TracerPid:")?, 10)?).ok()?))
}

/// The process of a thread; none for 0, which stands for no tracer and for one outside of our PID namespace.
fn process_of(tid: u32) -> Option<u32> {
    if tid == 0 {
        return None;
    }
    let status = std::fs::read(format!("/proc/{tid}/status")).ok()?;
    let line = lines(&status).find_map(|line| line.strip_prefix(b"Tgid:"))?;
    u32::try_from(number(line, 10)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_and_tracer_are_read() {
        let text = b"Name:\tx\nState:\tt (tracing stop)\nTgid:\t5\nTracerPid:\t77\n";
        assert_eq!(state_and_tracer(text), Some((b't', 77)));
        for text in [&b""[..], b"State:\tS\n", b"State:\tSS x\nTracerPid:\t0\n", b"State:\tT\nTracerPid:\tx\n"] {
            assert_eq!(state_and_tracer(text), None, "{text:?}");
        }
    }

    #[test]
    fn it_is_said_how_to_go_on() {
        let said = |by| Held { pid: 7, by }.to_string();
        assert_eq!(
            said(Holder::Signal),
            "process 7 is stopped by a signal: none of it runs. To continue it: kill -CONT 7"
        );
        assert_eq!(
            said(Holder::Debugger { pid: Some(8) }),
            "process 7 is stopped by a debugger: none of it runs. To continue it: `continue` in the debugger (process 8)"
        );
        assert_eq!(
            said(Holder::Cgroup { file: "/c/a\u{1b}b/cgroup.freeze".into(), thaw: "0" }),
            "process 7 is frozen by its cgroup: none of it runs. To continue it: echo 0 > /c/a\\u{1b}b/cgroup.freeze"
        );
    }
}
