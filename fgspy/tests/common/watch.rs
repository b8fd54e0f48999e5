//! Looks, as often as it can, whether a process is traced or stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, spawn};

use anyhow::Result;
use fgspy_fixtures::wait_until;

/// A look-out on a process.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    /// How often it was looked at, all its threads each time.
    looks: Arc<AtomicU64>,
    thread: JoinHandle<Vec<String>>,
}

impl Watch {
    pub(crate) fn start(pid: u32) -> Watch {
        let (stop, looks): (Arc<AtomicBool>, Arc<AtomicU64>) = Default::default();
        let thread = spawn({
            let (stop, looks) = (Arc::clone(&stop), Arc::clone(&looks));
            move || {
                let mut wrong = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    wrong.extend(look(pid).unwrap());
                    looks.fetch_add(1, Ordering::Relaxed);
                }
                wrong
            }
        });
        Watch { stop, looks, thread }
    }

    /// Waits until it has been looked at from now on: once to the end and then as a whole.
    pub(crate) fn until_looked(&self) {
        let now = self.looks.load(Ordering::Relaxed);
        wait_until("it was looked at", || Ok(self.looks.load(Ordering::Relaxed) > now + 1)).unwrap();
    }

    /// Ends it and gives what should not have been: a `TracerPid` or a `State` of a thread.
    pub(crate) fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        assert!(self.looks.load(Ordering::Relaxed) > 0);
        self.thread.join().unwrap()
    }
}

/// What is wrong now.
pub(crate) fn look(pid: u32) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        let Ok(status) = std::fs::read_to_string(task?.path().join("status")) else { continue };
        let bad = |line: &&str| match line.split_once(":\t") {
            Some(("TracerPid", tracer)) => tracer != "0",
            Some(("State", state)) => state.starts_with(['t', 'T']),
            _ => false,
        };
        wrong.extend(status.lines().filter(bad).map(str::to_owned));
    }
    Ok(wrong)
}
