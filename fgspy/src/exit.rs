//! Exit codes: documented in `fgspy --help`, decided here.

use std::io;

use fgspy_goroutines::AttachError;
use fgspy_memory::{OpenError, ProcError, ReadError};
use fgspy_sampler::TargetError;

use crate::output::OutputError;
use crate::record::NothingRecorded;

/// Any failure that has no code of its own.
const OTHER: u8 = 1;
/// No such process, or gone before anything was recorded.
const NO_PROCESS: u8 = 3;
/// Not a Go program that fgspy can read.
const NOT_GO: u8 = 4;
/// A permission is missing.
const NO_PERMISSION: u8 = 5;
/// The result could not be written.
const NOT_WRITTEN: u8 = 6;

/// The exit code for an error, by its most telling cause.
pub(crate) fn code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(code_of).unwrap_or(OTHER)
}

fn code_of(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(error) = cause.downcast_ref::<TargetError>() {
        return Some(target_code(error));
    }
    if let Some(error) = cause.downcast_ref::<OpenError>() {
        return Some(open_code(error));
    }
    if let Some(error) = cause.downcast_ref::<ReadError>() {
        return Some(read_code(*error));
    }
    if cause.is::<fgspy_gobin::Error>() {
        return Some(NOT_GO);
    }
    if cause.is::<NothingRecorded>() {
        return Some(NO_PROCESS);
    }
    cause.is::<OutputError>().then_some(NOT_WRITTEN)
}

fn target_code(error: &TargetError) -> u8 {
    match error {
        TargetError::Process(error) => open_code(error),
        TargetError::Proc(ProcError::Gone) => NO_PROCESS,
        TargetError::Attach { source: AttachError::Read(error), .. } => read_code(*error),
        TargetError::NotGo { .. } | TargetError::Bias { .. } | TargetError::Attach { .. } => NOT_GO,
        _ => OTHER,
    }
}

fn open_code(error: &OpenError) -> u8 {
    match error {
        OpenError::NoSuchProcess { .. } | OpenError::Exited { .. } | OpenError::Unstable { .. } => NO_PROCESS,
        OpenError::PermissionDenied { .. } | OpenError::Hidden { .. } | OpenError::UnreadableExe { .. } => {
            NO_PERMISSION
        }
        OpenError::KernelThread { .. } => NOT_GO,
        _ => OTHER,
    }
}

fn read_code(error: ReadError) -> u8 {
    match error {
        ReadError::TargetGone => NO_PROCESS,
        ReadError::Denied => NO_PERMISSION,
        _ => OTHER,
    }
}

/// Whether the error is that nobody reads our output any more.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}
