//! Exit codes: documented in `fgspy --help`, decided here.

use std::io;

use fgspy_gobin::anchors;
use fgspy_goroutines::AttachError;
use fgspy_memory::{OpenError, ProcError, ReadError};
use fgspy_probes::TraceError;
use fgspy_sampler::TargetError;

use crate::output::profile_file::{ChoiceError, OutputError, RescueError};
use crate::output::record_file::Incomplete;
use crate::record::NothingRecorded;
use crate::trace::SlowProbes;

/// Any failure that has no code of its own.
const OTHER: u8 = 1;
/// The command line makes no sense. Most of what that can be, clap finds by itself, and exits with the same code.
const USAGE: u8 = 2;
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
    if cause.is::<fgspy_gobin::Error>() || cause.is::<anchors::Error>() || cause.is::<AttachError>() {
        return Some(NOT_GO);
    }
    if cause.is::<NothingRecorded>() {
        return Some(NO_PROCESS);
    }
    if let Some(error) = cause.downcast_ref::<TraceError>() {
        return Some(trace_code(error));
    }
    if cause.is::<ChoiceError>() || cause.is::<fgspy_probes::TooLarge>() || cause.is::<SlowProbes>() {
        return Some(USAGE);
    }
    (cause.is::<OutputError>() || cause.is::<RescueError>() || cause.is::<Incomplete>()).then_some(NOT_WRITTEN)
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

fn trace_code(error: &TraceError) -> u8 {
    match error {
        TraceError::Denied { .. } => NO_PERMISSION,
        TraceError::TargetGone { .. } => NO_PROCESS,
        TraceError::NoSites => NOT_GO,
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

/// The error and its causes, outermost first. Many messages repeat their cause, so that they stand for themselves: what
/// was said already is not said again.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !said.contains(&cause) {
            said += if said.is_empty() { "" } else { ": " };
            said += &cause;
        }
    }
    said
}

/// Whether the error is that nobody reads our output any more.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref().is_some_and(nobody_reads))
}

/// Whether a write failed because nobody reads what was written.
pub(crate) fn nobody_reads(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_each_cause_once() {
        let full = || io::Error::from_raw_os_error(28);
        let failed = OutputError::Failed { path: "x.svg".into(), source: full() };
        assert_eq!(
            message(&anyhow::Error::new(failed).context("no luck")),
            "no luck: x.svg could not be written: No space left on device (os error 28)"
        );
        let bare = anyhow::Error::new(full()).context("no luck");
        assert_eq!(message(&bare), "no luck: No space left on device (os error 28)");
    }
}
