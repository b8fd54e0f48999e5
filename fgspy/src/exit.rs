//! Exit codes: documented in `fgspy --help`, decided here.

use std::io;

use fgspy_goroutines::AttachError;
use fgspy_memory::{OpenError, ReadError};

use crate::output::OutputError;
use crate::record::NothingRecorded;
use crate::target::TargetError;

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
    if let Some(error) = cause.downcast_ref::<OpenError>() {
        return Some(match error {
            OpenError::NoSuchProcess { .. } | OpenError::Exited { .. } | OpenError::Unstable { .. } => NO_PROCESS,
            OpenError::PermissionDenied { .. } | OpenError::Hidden { .. } => NO_PERMISSION,
            OpenError::KernelThread { .. } => NOT_GO,
            _ => OTHER,
        });
    }
    if let Some(error) = cause.downcast_ref::<ReadError>() {
        return Some(if *error == ReadError::Denied { NO_PERMISSION } else { NO_PROCESS });
    }
    if cause.is::<NothingRecorded>() {
        return Some(NO_PROCESS);
    }
    if cause.is::<OutputError>() {
        return Some(NOT_WRITTEN);
    }
    match cause.downcast_ref::<AttachError>() {
        Some(AttachError::Read(ReadError::TargetGone)) => return Some(NO_PROCESS),
        Some(AttachError::Read(ReadError::Denied)) => return Some(NO_PERMISSION),
        _ => {}
    }
    (cause.is::<AttachError>() || cause.is::<fgspy_gobin::Error>() || cause.is::<TargetError>()).then_some(NOT_GO)
}

/// Whether the error is that nobody reads our output any more.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}
