//! Which Go runtime of a process: `--runtime`.

use clap::Args;
use fgspy_goroutines::{GoProcess, TargetError};
use fgspy_memory::Process;

/// Which Go runtime is meant.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RuntimeArgs {
    /// If the process has several Go runtimes (in its executable, and in shared libraries built by Go): the one in this file,
    /// by name or path. Default: the one with the most goroutines; the others are named
    #[arg(long, value_name = "FILE")]
    pub(crate) runtime: Option<String>,
}

impl RuntimeArgs {
    /// Opens a process.
    pub(crate) fn open(&self, pid: u32) -> Result<GoProcess, TargetError> {
        self.attach(Process::open(pid)?)
    }

    /// Finds the runtime of a process.
    pub(crate) fn attach(&self, process: Process) -> Result<GoProcess, TargetError> {
        GoProcess::attach_to(process, self.runtime.as_deref())
    }
}
