//! Why a Go program's goroutines cannot be read.

use fgspy_gobin::{anchors, calibrate};
use fgspy_memory::ReadError;
use thiserror::Error;

/// Why a Go program's goroutines cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AttachError {
    /// Its memory cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No build info, no `runtime.buildVersion`.
    #[error("the executable does not say which Go version built it")]
    NoVersion,
    /// The list of goroutines was not found in the runtime's code.
    #[error(transparent)]
    Anchors(#[from] anchors::Error),
    /// Neither in the table nor measurable.
    #[error("{version} is not a version this fgspy knows, and its layout could not be measured: {reason}")]
    Unknown {
        /// The version.
        version: String,
        /// What could not be measured.
        reason: calibrate::Error,
    },
    /// The runtime has not started its main goroutine yet. Trying again a moment later may succeed.
    #[error("the Go runtime in this process has not started yet")]
    NotStarted,
    /// What was read does not make sense under the layout for this version. Nothing is guessed from it.
    #[error("the runtime of this process does not look like that of {version}: {reason}")]
    SelfTest {
        /// The version.
        version: String,
        /// What was wrong.
        reason: String,
    },
}
