//! A run of fgspy that is under way.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};

use fgspy_fixtures::{Signal, wait_until};
use rustix::process::{Pid, kill_process, kill_process_group};

use super::Outcome;
use super::terminal::Terminal;

/// A running fgspy, in a process group of its own, as a shell would start it. It is killed, with all that it started,
/// when this is dropped.
pub(crate) struct Running {
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    /// Reads standard error.
    reader: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts it as a script would: nothing is a terminal. Its standard input stays open until it has ended.
    pub(crate) fn start(mut command: Command) -> Running {
        let mut child = spawn_in_group(command.stderr(Stdio::piped()));
        let stderr = child.stderr.take().unwrap();
        Running::new(child, stderr)
    }

    /// Starts it as a person would: standard error is a terminal.
    pub(crate) fn on_terminal(mut command: Command) -> Running {
        let terminal = Terminal::open();
        let child = spawn_in_group(command.stderr(terminal.inner));
        // The terminal ends when nobody holds its inner side any more, and the command holds it.
        drop(command);
        Running::new(child, terminal.outer)
    }

    fn new(mut child: Child, mut from: impl Read + Send + 'static) -> Running {
        let stdout = child.stdout.take().map(|stdout| spawn(|| all(stdout)));
        let stderr: Arc<Mutex<Vec<u8>>> = Arc::default();
        let reader = spawn({
            let stderr = Arc::clone(&stderr);
            move || {
                let mut bytes = [0; 4096];
                // A terminal ends with an error (EIO), a pipe with nothing.
                while let Ok(count @ 1..) = from.read(&mut bytes) {
                    stderr.lock().unwrap().extend_from_slice(&bytes[..count]);
                }
            }
        });
        Running { child, stdout, stderr, reader: Some(reader) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        String::from_utf8(self.stderr.lock().unwrap().clone()).unwrap()
    }

    /// Waits until it has said this.
    pub(crate) fn until_said(&self, words: &str) {
        self.until(words, |said| said.contains(words));
    }

    /// Waits until what it has said satisfies a condition.
    pub(crate) fn until(&self, what: &str, condition: impl Fn(&str) -> bool) {
        wait_until(what, || Ok(condition(&self.said())))
            .unwrap_or_else(|error| panic!("{error}; it said:\n{}", self.said()));
    }

    /// Waits until something was recorded; it must be on a terminal, where it tells.
    pub(crate) fn until_recording(&self) {
        self.until_said(" observations");
    }

    /// Sends a signal to it alone, as `kill` would.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Sends a signal to it and to what it started, as the terminal does at Ctrl-C.
    pub(crate) fn signal_group(&self, signal: Signal) {
        kill_process_group(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Closes its standard input, which a program that it started shares.
    pub(crate) fn close_stdin(&mut self) {
        self.child.stdin = None;
    }

    /// Waits for its end. A program that it started may go on.
    pub(crate) fn wait_alone(&mut self) -> ExitStatus {
        let mut ended = None;
        wait_until("fgspy has ended", || {
            ended = self.child.try_wait()?;
            Ok(ended.is_some())
        })
        .unwrap_or_else(|error| panic!("{error}; it said:\n{}", self.said()));
        ended.unwrap()
    }

    /// Waits for its end, and until all that it started has ended or has closed its output.
    pub(crate) fn wait(&mut self) -> Outcome {
        let status = self.wait_alone();
        let stdout = self.stdout.take().map_or(Vec::new(), |stdout| stdout.join().unwrap());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        Outcome::new(status, stdout, self.said())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // If it was waited for, its group may be gone.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

fn spawn_in_group(command: &mut Command) -> Child {
    command.process_group(0).stdin(Stdio::piped()).spawn().unwrap()
}

fn all(mut from: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    bytes
}
