//! Why a result cannot be written.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::exit::{ExitStatus, Status};

/// What standard output is called on the command line.
pub(crate) const STDOUT: &str = "-";
/// What it is called in messages.
pub(super) const STDOUT_NAME: &str = "standard output";

/// The result cannot be written.
#[derive(Debug, Error)]
pub(crate) enum OutputError {
    /// Found out before anything was done.
    #[error("{path} cannot be written: {}", explain(path, cause))]
    Unwritable { path: PathBuf, cause: io::Error },
    /// Found out when it was to be written.
    #[error("{path} could not be written: {source}")]
    Failed { path: PathBuf, source: io::Error },
}

impl OutputError {
    /// Standard output could not be written.
    pub(crate) fn to_stdout(source: io::Error) -> OutputError {
        OutputError::Failed { path: STDOUT_NAME.into(), source }
    }
}

impl ExitStatus for OutputError {
    fn status(&self) -> Status {
        Status::NotWritten
    }
}

/// Why a place cannot be written to, and what to do about it.
fn explain(path: &Path, cause: &io::Error) -> String {
    const ELSEWHERE: &str = "choose another place with --output FILE";
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match (cause.kind(), folder) {
        (io::ErrorKind::IsADirectory, _) => {
            format!("it is a folder\n  name a file in it: --output {}", path.join("profile.svg").display())
        }
        (io::ErrorKind::NotFound, Some(folder)) if !folder.exists() => {
            let folder = folder.display();
            format!("there is no folder {folder}\n  make it with: mkdir -p {folder}\n  or {ELSEWHERE}")
        }
        _ => format!("{cause}\n  {ELSEWHERE}"),
    }
}
