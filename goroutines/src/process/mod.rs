//! Getting hold of a Go process.

mod modules;

use std::sync::Arc;
use std::time::{Duration, Instant};

use fgspy_gobin::GoBinary;
use fgspy_memory::{BiasError, Library, Live, Memory, ProcError, Process};
use thiserror::Error;

use self::modules::Module;
use crate::{AttachError, Runtime, attach};

pub use modules::PluginWatch;

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
    /// It has no Go runtime of the name that was asked for.
    #[error("process {pid} has no Go runtime in {asked:?}; it has {}", listed(.there))]
    NoSuchRuntime {
        /// The process.
        pid: u32,
        /// What was asked for.
        asked: String,
        /// The files that have one.
        there: Vec<String>,
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

/// `a.so, b.so`, or `none`.
fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// One Go runtime of several that a process has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeName {
    /// The name of the file that it is in.
    pub name: String,
    /// How many goroutines it had when the process was opened, the runtime's own included. 0 where it could not be read.
    pub goroutines: u64,
}

/// A Go process whose goroutines can be read.
pub struct GoProcess {
    /// The process.
    pub process: Process,
    /// Its memory.
    pub memory: Live,
    /// Its runtime; of several, the one that was chosen.
    pub runtime: Runtime,
    /// The library that its runtime is in; `None` where that is the executable.
    pub library: Option<Library>,
    /// All its runtimes, the one that was chosen first.
    pub runtimes: Vec<RuntimeName>,
}

impl GoProcess {
    /// Opens the Go process that `pid` names.
    ///
    /// Waits a little for a runtime that is just starting.
    pub fn open(pid: u32) -> Result<GoProcess, TargetError> {
        GoProcess::attach(Process::open(pid)?)
    }

    /// Finds the runtime of `process`: of several, the one with the most goroutines.
    pub fn attach(process: Process) -> Result<GoProcess, TargetError> {
        GoProcess::attach_to(process, None)
    }

    /// Finds the runtime of `process`, which may be in its executable or in a shared library that it has loaded. Of several,
    /// `runtime` says which one is meant, by the name of its file or by its path; without it, that is the one with the most
    /// goroutines.
    pub fn attach_to(process: Process, runtime: Option<&str>) -> Result<GoProcess, TargetError> {
        let pid = process.pid();
        let memory = process.memory();
        let (modules, no_go) = found(&process)?;
        let lost = |error| TargetError::Attach { pid, path: process.exe_path().display().to_string(), source: error };
        let mut roots = modules::gather(&memory, modules).map_err(|error| lost(AttachError::Read(error)))?;
        if let Some(asked) = runtime {
            let there: Vec<String> = roots.iter().map(|root| root.name.clone()).collect();
            let chosen = roots.iter().position(|root| root.is_named(asked));
            let Some(chosen) = chosen else {
                return Err(TargetError::NoSuchRuntime { pid, asked: asked.to_owned(), there });
            };
            roots.swap(0, chosen);
        }
        let mut read: Vec<(Result<Runtime, TargetError>, RuntimeName, Option<Library>)> = Vec::new();
        for Module { name, library, binary, bias } in roots {
            let path = library.as_ref().map_or(process.exe_path(), Library::path).display().to_string();
            let result = runtime_of(&process, &memory, binary, bias, path);
            let goroutines =
                result.as_ref().map_or(0, |runtime| memory.read_u64(runtime.list.len).ok().flatten().unwrap_or(0));
            read.push((result, RuntimeName { name, goroutines }, library));
        }
        if runtime.is_none() {
            // The first of the largest.
            read.sort_by_key(|(result, name, _)| (result.is_err(), u64::MAX - name.goroutines));
        }
        let runtimes = read.iter().map(|(_, name, _)| name.clone()).collect();
        match (read.into_iter().next(), no_go) {
            (Some((runtime, _, library)), _) => Ok(GoProcess { runtime: runtime?, process, memory, library, runtimes }),
            (None, Some(error)) => Err(error),
            (None, None) => Err(TargetError::NotGo {
                pid,
                path: process.exe_path().display().to_string(),
                source: fgspy_gobin::Error::NotGo,
            }),
        }
    }

    /// Makes the functions of plugins known that the program has loaded since it was opened.
    pub fn add_new_plugins(&self) {
        // A target that is gone has none.
        modules::add_plugins(&self.process, &self.memory, &self.runtime).ok();
    }

    /// The file that the runtime is in, as the target sees it.
    pub fn module_path(&self) -> &std::path::Path {
        self.library.as_ref().map_or(self.process.exe_path(), Library::path)
    }
}

/// The Go modules of a process, and why its executable is none.
fn found(process: &Process) -> Result<(Vec<Module>, Option<TargetError>), TargetError> {
    let pid = process.pid();
    let path = || process.exe_path().display().to_string();
    let exe = process.exe().try_clone().map_err(|source| TargetError::Unreadable { pid, source })?;
    let (mut modules, mut no_go) = (Vec::new(), None);
    match GoBinary::parse(Box::new(exe)) {
        Ok(binary) => {
            let bias = process.load_bias().map_err(|source| TargetError::Bias { pid, source })?.bias;
            let name = process.exe_path().file_name().unwrap_or_default().to_string_lossy().into_owned();
            modules.push(Module { name, library: None, binary, bias });
        }
        Err(source) => no_go = Some(TargetError::NotGo { pid, path: path(), source }),
    }
    modules.extend(modules::libraries(process, |_| false));
    Ok((modules, no_go))
}

/// The runtime in one module.
fn runtime_of(
    process: &Process,
    memory: &dyn Memory,
    binary: GoBinary,
    bias: u64,
    path: String,
) -> Result<Runtime, TargetError> {
    let pid = process.pid();
    let binary = Arc::new(binary);
    let deadline = Instant::now() + STARTUP;
    loop {
        let tids: Vec<u32> = process.threads()?.iter().map(|thread| thread.ns_tid).collect();
        match attach(memory, Arc::clone(&binary), bias, &tids) {
            // The first instructions of a program: nothing is wrong, there is just no goroutine yet.
            Err(AttachError::NotStarted) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            result => return result.map_err(|source| TargetError::Attach { pid, path, source }),
        }
    }
}
