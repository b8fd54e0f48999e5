//! Failures of commands and their exit codes, as documented in `fgspy --help`.
//!
//! Each kind of error says its exit status through [`ExitStatus`]: those of this crate where they are defined, those of other
//! crates below. `?` turns any of them into a [`Failure`].

use std::error::Error;
use std::io;

use fgspy_gobin::anchors;
use fgspy_goroutines::AttachError;
use fgspy_goroutines::TargetError;
use fgspy_memory::{OpenError, ProcError, ReadError};
use fgspy_probes::TraceError;

/// What an exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    /// Any failure that has no code of its own.
    Other = 1,
    /// The command line makes no sense. Most such errors are found by clap, which exits with the same code.
    Usage = 2,
    /// There is no such process, or it ended before anything was recorded.
    NoProcess = 3,
    /// It is not a Go program that fgspy can read.
    NotGo = 4,
    /// A permission is missing.
    NoPermission = 5,
    /// The result could not be written.
    NotWritten = 6,
}

impl Status {
    /// The exit code.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }
}

/// An error that decides the exit status of fgspy.
pub(crate) trait ExitStatus {
    /// The status.
    fn status(&self) -> Status;
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    status: Status,
    /// What was being done, outermost last.
    contexts: Vec<String>,
    cause: Box<dyn Error + Send + Sync>,
}

impl<E: ExitStatus + Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure { status: error.status(), contexts: Vec::new(), cause: Box::new(error) }
    }
}

impl Failure {
    /// A failure without a code of its own.
    pub(crate) fn other(message: &str) -> Failure {
        Failure { status: Status::Other, contexts: Vec::new(), cause: message.into() }
    }

    /// The exit status.
    pub(crate) fn status(&self) -> Status {
        self.status
    }

    /// The same, with what was being done.
    pub(crate) fn context(mut self, doing: impl Into<String>) -> Failure {
        self.contexts.push(doing.into());
        self
    }

    /// The contexts and causes, outermost first. Many messages repeat their cause so that they can stand alone: a cause that was
    /// already printed is left out.
    pub(crate) fn message(&self) -> String {
        let contexts = self.contexts.iter().rev().cloned();
        let mut message = String::new();
        for part in contexts.chain(self.causes().map(ToString::to_string)) {
            if !message.contains(&part) {
                message += if message.is_empty() { "" } else { ": " };
                message += &part;
            }
        }
        message
    }

    /// Whether the failure is that the reader of the output has gone (`fgspy dump | head`).
    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.causes().any(|cause| cause.downcast_ref().is_some_and(is_broken_pipe))
    }

    fn causes(&self) -> impl Iterator<Item = &(dyn Error + 'static)> {
        let first: &(dyn Error + 'static) = self.cause.as_ref();
        let mut next = Some(first);
        std::iter::from_fn(move || {
            let cause = next?;
            next = cause.source();
            Some(cause)
        })
    }
}

/// Whether a write failed because nothing reads the output any more.
pub(crate) fn is_broken_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// Adds to an error what was being done.
pub(crate) trait Context<T> {
    /// Adds a sentence or the beginning of one.
    fn context(self, doing: impl Into<String>) -> Result<T, Failure>;

    /// The same, made only if there is an error.
    fn with_context(self, doing: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> Context<T> for Result<T, E> {
    fn context(self, doing: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|error| error.into().context(doing))
    }

    fn with_context(self, doing: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| error.into().context(doing()))
    }
}

impl ExitStatus for io::Error {
    fn status(&self) -> Status {
        Status::Other
    }
}

impl ExitStatus for fgspy_profile::recording::Error {
    fn status(&self) -> Status {
        Status::Other
    }
}

impl ExitStatus for fgspy_gobin::Error {
    fn status(&self) -> Status {
        Status::NotGo
    }
}

impl ExitStatus for anchors::Error {
    fn status(&self) -> Status {
        Status::NotGo
    }
}

impl ExitStatus for AttachError {
    fn status(&self) -> Status {
        match self {
            AttachError::Read(error) => error.status(),
            _ => Status::NotGo,
        }
    }
}

impl ExitStatus for TargetError {
    fn status(&self) -> Status {
        match self {
            TargetError::Process(error) => error.status(),
            TargetError::Proc(ProcError::Gone) => Status::NoProcess,
            TargetError::Attach { source, .. } => source.status(),
            TargetError::NoSuchRuntime { .. } => Status::Usage,
            TargetError::NotGo { .. } | TargetError::Bias { .. } => Status::NotGo,
            _ => Status::Other,
        }
    }
}

impl ExitStatus for OpenError {
    fn status(&self) -> Status {
        match self {
            OpenError::NoSuchProcess { .. } | OpenError::Exited { .. } | OpenError::Unstable { .. } => {
                Status::NoProcess
            }
            OpenError::PermissionDenied { .. } | OpenError::Hidden { .. } | OpenError::UnreadableExe { .. } => {
                Status::NoPermission
            }
            OpenError::KernelThread { .. } => Status::NotGo,
            _ => Status::Other,
        }
    }
}

impl ExitStatus for ReadError {
    fn status(&self) -> Status {
        match self {
            ReadError::TargetGone => Status::NoProcess,
            ReadError::Denied => Status::NoPermission,
            _ => Status::Other,
        }
    }
}

impl ExitStatus for TraceError {
    fn status(&self) -> Status {
        match self {
            TraceError::Denied { .. } => Status::NoPermission,
            TraceError::TargetGone { .. } => Status::NoProcess,
            TraceError::NoSites => Status::NotGo,
            _ => Status::Other,
        }
    }
}

impl ExitStatus for fgspy_probes::TooLarge {
    fn status(&self) -> Status {
        Status::Usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("x.svg could not be written: {source}")]
    struct Outer {
        source: io::Error,
    }

    impl ExitStatus for Outer {
        fn status(&self) -> Status {
            Status::NotWritten
        }
    }

    #[test]
    fn a_message_has_each_cause_once() {
        let full = || io::Error::from_raw_os_error(28);
        let failed = Failure::from(Outer { source: full() }).context("no luck");
        assert_eq!(failed.message(), "no luck: x.svg could not be written: No space left on device (os error 28)");
        assert_eq!((failed.status(), failed.status().code()), (Status::NotWritten, 6));
        let bare = Failure::from(full()).context("inner").context("outer");
        assert_eq!(bare.message(), "outer: inner: No space left on device (os error 28)");
    }

    #[test]
    fn a_broken_pipe_is_found_below_other_errors() {
        let pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(Failure::from(pipe()).is_broken_pipe() && Failure::from(Outer { source: pipe() }).is_broken_pipe());
        assert!(!Failure::other("broken pipe").is_broken_pipe());
    }
}
