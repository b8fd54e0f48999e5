//! Getting hold of a target: every command begins here.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use fgspy_gobin::GoBinary;
use fgspy_goroutines::{AttachError, Runtime, Trust, attach};
use fgspy_kernel::{Config, OnCpu};
use fgspy_memory::{BiasError, ExeFile, Live, Mapping, Process};
use fgspy_profile::Target;
use thiserror::Error;

/// How long a runtime that is just starting is waited for.
const STARTUP: Duration = Duration::from_secs(5);

/// Why a process is not one that fgspy can read.
#[derive(Debug, Error)]
pub(crate) enum TargetError {
    /// Its executable is not Go's, or one of a Go that is too old.
    #[error("{path} (process {pid}): {source}")]
    Executable { pid: u32, path: String, source: fgspy_gobin::Error },
    /// Its executable is Go's, but where it was loaded is not known.
    #[error("process {pid}: {source}")]
    Bias { pid: u32, source: BiasError },
}

/// A Go process that can be read.
pub(crate) struct GoProcess {
    pub(crate) process: Process,
    pub(crate) memory: Live,
    pub(crate) runtime: Runtime,
}

/// Opens the Go process `pid`.
pub(crate) fn open(pid: u32) -> anyhow::Result<GoProcess> {
    open_process(Process::open(pid)?)
}

/// Reads the executable of `process` and finds its runtime.
pub(crate) fn open_process(process: Process) -> anyhow::Result<GoProcess> {
    let pid = process.pid();
    let binary = Arc::new(read_executable(process.exe().try_clone()?).map_err(|source| TargetError::Executable {
        pid,
        path: process.exe_path().display().to_string(),
        source,
    })?);
    let bias = process.load_bias().map_err(|source| TargetError::Bias { pid, source })?.bias;
    let memory = process.memory();
    let deadline = Instant::now() + STARTUP;
    let runtime = loop {
        let tids: Vec<u32> = process.threads()?.iter().map(|thread| thread.ns_tid).collect();
        match attach(&memory, Arc::clone(&binary), bias, &tids) {
            // The first instructions of a program: nothing is wrong, there is just no goroutine yet.
            Err(AttachError::NotStarted) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            result => break result.with_context(|| format!("process {pid}"))?,
        }
    };
    Ok(GoProcess { process, memory, runtime })
}

/// Opens an executable on disk.
pub(crate) fn open_executable(path: &Path) -> anyhow::Result<GoBinary> {
    let file = ExeFile::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
    read_executable(file).with_context(|| path.display().to_string())
}

fn read_executable(file: ExeFile) -> Result<GoBinary, fgspy_gobin::Error> {
    GoBinary::parse(Box::new(file))
}

/// Opens the kernel's view of the target's threads. Without permission there is none, and a remark for the user.
pub(crate) fn open_on_cpu(pid: u32) -> (Option<OnCpu>, Vec<String>) {
    let config = Config::new(pid);
    match OnCpu::open(config.clone()) {
        Ok(on_cpu) => {
            let notes = on_cpu.coverage().notes(&config);
            (Some(on_cpu), notes)
        }
        Err(error) => (None, vec![format!("running goroutines have no stacks: {error}")]),
    }
}

impl GoProcess {
    /// What a profile says about its target.
    pub(crate) fn describe(&self) -> Target {
        let GoProcess { process, runtime, .. } = self;
        let module = runtime.binary.module();
        let offset = runtime
            .binary
            .segments()
            .iter()
            .find(|segment| (segment.vaddr..segment.vaddr.saturating_add(segment.mem_size)).contains(&module.text))
            .map_or(0, |segment| module.text - segment.vaddr + segment.offset);
        Target {
            pid: process.pid(),
            executable: process.exe_path().display().to_string(),
            command: process.command_line().to_vec(),
            go_version: runtime.version.to_string(),
            build_id: runtime.binary.build_id().unwrap_or_default().to_owned(),
            arch: runtime.binary.arch().name().to_owned(),
            text: (module.text.wrapping_add(runtime.bias), module.etext.wrapping_add(runtime.bias), offset),
        }
    }

    /// What the user should know about how far this runtime is understood.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if let Some(tid) = self.process.asked_by_thread() {
            remarks.push(format!("{tid} is a thread of process {}: all of the process is read", self.process.pid()));
        }
        if let Trust::Calibrated { assumed } = &self.runtime.trust {
            remarks.push(format!(
                "{} is newer than this fgspy: the layout of its runtime was measured in this process; assumed: {}",
                self.runtime.version,
                assumed.join(", ")
            ));
        }
        remarks
    }

    /// What is mapped in the target now; nothing when it has just exited.
    pub(crate) fn mappings(&self) -> Vec<Mapping> {
        self.process.maps().unwrap_or_default()
    }
}
