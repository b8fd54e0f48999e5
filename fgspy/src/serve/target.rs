//! The process that is served: opened once, and again for each request, at little cost.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fgspy_goroutines::Runtime;
use fgspy_goroutines::{GoProcess, RuntimeName, TargetError};
use fgspy_memory::{Fate, Library, OpenError, Process};

use crate::args::runtime::RuntimeArgs;

/// The process that is served.
pub(super) struct Watched {
    pid: u32,
    /// With the id, this names the process uniquely; it survives an exec.
    start_time: Duration,
    /// Which of its Go runtimes.
    choice: RuntimeArgs,
    known: Mutex<Known>,
}

/// The program that it ran when it was last looked at.
struct Known {
    process: Process,
    runtime: Runtime,
    library: Option<Library>,
    runtimes: Vec<RuntimeName>,
}

impl Watched {
    pub(super) fn new(target: GoProcess, choice: RuntimeArgs) -> Watched {
        let GoProcess { process, runtime, library, runtimes, .. } = target;
        let (pid, start_time) = (process.pid(), process.start_time());
        Watched { pid, start_time, choice, known: Mutex::new(Known { process, runtime, library, runtimes }) }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// The process in a line.
    pub(super) fn describe(&self) -> String {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        format!("process {}: {}, {}", self.pid, known.process.exe_path().display(), known.runtime.version)
    }

    /// Opens the process for one request.
    ///
    /// Its executable is read again only if it runs another program than the last time.
    pub(super) fn open(&self) -> Result<GoProcess, TargetError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let process = self.same(Process::open(self.pid)?)?;
        // In this order: the known program has run until now, so what was just opened is that program too.
        if known.process.still_same() == Fate::Same {
            let memory = process.memory();
            let Known { runtime, library, runtimes, .. } = &*known;
            let (runtime, library, runtimes) = (runtime.clone(), library.clone(), runtimes.clone());
            let target = GoProcess { process, memory, runtime, library, runtimes };
            target.add_new_plugins();
            return Ok(target);
        }
        let target = self.choice.attach(process)?;
        let again = self.same(Process::open(self.pid)?)?;
        if target.process.still_same() == Fate::Same {
            *known = Known {
                process: again,
                runtime: target.runtime.clone(),
                library: target.library.clone(),
                runtimes: target.runtimes.clone(),
            };
        }
        Ok(target)
    }

    /// Whether it has exited. Should another process have its id by now, that does not count.
    pub(super) fn has_exited(&self) -> bool {
        // Somebody who opens it at this moment finds out for himself.
        let Ok(known) = self.known.try_lock() else { return false };
        match known.process.still_same() {
            Fate::Same => false,
            Fate::Exited => true,
            Fate::Execed => match Process::open(self.pid) {
                Ok(process) => process.start_time() != self.start_time,
                Err(error) => is_gone(&error),
            },
        }
    }

    fn same(&self, process: Process) -> Result<Process, OpenError> {
        if process.start_time() == self.start_time { Ok(process) } else { Err(OpenError::Exited { pid: self.pid }) }
    }
}

/// Whether a process cannot be opened because there is none (any more).
pub(super) fn is_gone(error: &OpenError) -> bool {
    matches!(error, OpenError::NoSuchProcess { .. } | OpenError::Exited { .. })
}
