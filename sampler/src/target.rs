//! Getting hold of a Go process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fgspy_gobin::GoBinary;
use fgspy_goroutines::{AttachError, Runtime, attach};
use fgspy_memory::{BiasError, Live, ProcError, Process};
use fgspy_profile::Target;
use thiserror::Error;

/// How long a runtime that is just starting is waited for.
const STARTUP: Duration = Duration::from_secs(5);

/// Why a process cannot be read as a Go program.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The process cannot be opened at all.
    #[error(transparent)]
    Process(#[from] fgspy_memory::OpenError),
    /// It was opened, but could not be asked further.
    #[error(transparent)]
    Proc(#[from] ProcError),
    /// Its executable cannot be read any more.
    #[error("the executable of process {pid} cannot be read: {source}")]
    Unreadable {
        /// The process.
        pid: u32,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// Its executable is not Go's, or one of a Go that is too old.
    #[error("process {pid} runs {path}: {source}")]
    NotGo {
        /// The process.
        pid: u32,
        /// The executable.
        path: String,
        /// What it is instead.
        source: fgspy_gobin::Error,
    },
    /// Where its executable was loaded is not known.
    #[error("process {pid}: {source}")]
    Bias {
        /// The process.
        pid: u32,
        /// Why not.
        source: BiasError,
    },
    /// Its runtime was not found or not understood.
    #[error("process {pid} runs {path}: {source}")]
    Attach {
        /// The process.
        pid: u32,
        /// The executable.
        path: String,
        /// Why not.
        source: AttachError,
    },
}

/// A Go process whose goroutines can be read.
pub struct GoProcess {
    /// The process.
    pub process: Process,
    /// Its memory.
    pub memory: Live,
    /// Its runtime.
    pub runtime: Runtime,
}

impl GoProcess {
    /// Opens the Go process that `pid` names.
    ///
    /// Waits a little for a runtime that is just starting.
    pub fn open(pid: u32) -> Result<GoProcess, TargetError> {
        GoProcess::attach(Process::open(pid)?)
    }

    /// Reads the executable of `process` and finds its runtime.
    pub fn attach(process: Process) -> Result<GoProcess, TargetError> {
        let pid = process.pid();
        let path = || process.exe_path().display().to_string();
        let exe = process.exe().try_clone().map_err(|source| TargetError::Unreadable { pid, source })?;
        let binary =
            GoBinary::parse(Box::new(exe)).map_err(|source| TargetError::NotGo { pid, path: path(), source })?;
        let binary = Arc::new(binary);
        let bias = process.load_bias().map_err(|source| TargetError::Bias { pid, source })?.bias;
        let memory = process.memory();
        let deadline = Instant::now() + STARTUP;
        let runtime = loop {
            let tids: Vec<u32> = process.threads()?.iter().map(|thread| thread.ns_tid).collect();
            match attach(&memory, Arc::clone(&binary), bias, &tids) {
                // The first instructions of a program: nothing is wrong, there is just no goroutine yet.
                Err(AttachError::NotStarted) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                result => break result.map_err(|source| TargetError::Attach { pid, path: path(), source })?,
            }
        };
        Ok(GoProcess { process, memory, runtime })
    }

    /// What a profile says about its target.
    pub fn describe(&self) -> Target {
        let GoProcess { process, runtime, .. } = self;
        Target {
            pid: process.pid(),
            executable: process.exe_path().display().to_string(),
            // Arguments may hold secrets, and a profile is passed around: only the program's own name is kept.
            command: process.command_line().iter().take(1).cloned().collect(),
            go_version: runtime.version.to_string(),
            build_id: runtime.binary.build_id().unwrap_or_default().to_owned(),
            arch: runtime.binary.arch().name().to_owned(),
            text: runtime.binary.text_pages().map_or((0, 0, 0), |(start, limit, offset)| {
                (start.wrapping_add(runtime.bias), limit.wrapping_add(runtime.bias), offset)
            }),
        }
    }
}
