//! Where a report goes: standard output or a file.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::error::{OutputError, STDOUT};
use super::place::{self, Place};
use crate::exit::{ExitStatus, Status, is_broken_pipe};

/// Standard output, or a file.
#[derive(Debug)]
pub(crate) enum Destination {
    /// Standard output.
    Stdout,
    /// A pipe, a terminal, a device.
    Stream {
        /// Its name.
        path: PathBuf,
        /// Open for writing.
        file: File,
    },
    /// A regular file, which may not be there yet.
    Path(PathBuf),
}

/// A report could not be written.
#[derive(Debug, Error)]
pub(crate) enum ReportError {
    /// The reader has gone.
    #[error(transparent)]
    BrokenPipe(OutputError),
    /// But it is safe.
    #[error("{failed}\n  the report was saved to {saved}")]
    Saved { failed: OutputError, saved: PathBuf },
    /// And there is no other place either.
    #[error("{failed}\n  nor could the report be saved elsewhere{}", tried.concat())]
    Lost { failed: OutputError, tried: Vec<String> },
}

impl ExitStatus for ReportError {
    fn status(&self) -> Status {
        Status::NotWritten
    }
}

impl Destination {
    /// Makes sure that the place can be written to, without touching what may be there.
    pub(crate) fn prepare(path: Option<&Path>) -> Result<Destination, OutputError> {
        let Some(path) = path.filter(|path| *path != Path::new(STDOUT)) else { return Ok(Destination::Stdout) };
        match place::find(path) {
            Ok(Place::File(path)) => Ok(Destination::Path(path)),
            Ok(Place::Stream(file)) => Ok(Destination::Stream { path: path.to_owned(), file }),
            Err(cause) => Err(OutputError::Unwritable { path: path.to_owned(), cause }),
        }
    }

    /// Whether it is standard output.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self, Destination::Stdout)
    }

    /// Whether a write may wait for a reader.
    pub(crate) fn may_wait(&self) -> bool {
        !matches!(self, Destination::Path(_))
    }

    /// Writes to it, in place of what was there. If that fails, the report is saved elsewhere.
    pub(crate) fn write(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), ReportError> {
        // In memory first: it may have to be written twice.
        let mut report = Vec::new();
        let made = write(&mut report);
        let failed = |path: &Path, source| OutputError::Failed { path: path.to_owned(), source };
        let written = made.map_err(OutputError::to_stdout).and_then(|()| match self {
            Destination::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(&report).and_then(|()| out.flush()).map_err(OutputError::to_stdout)
            }
            Destination::Stream { path, file } => (&*file).write_all(&report).map_err(|source| failed(path, source)),
            Destination::Path(path) => {
                place::write_whole(path, |out| out.write_all(&report)).map_err(|source| failed(path, source))
            }
        });
        written.map_err(|failed| match &failed {
            OutputError::Failed { source, .. } if is_broken_pipe(source) => ReportError::BrokenPipe(failed),
            _ => self.rescue(&report, failed),
        })
    }

    fn rescue(&self, report: &[u8], failed: OutputError) -> ReportError {
        let name = match self {
            Destination::Path(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Destination::Stdout | Destination::Stream { .. } => "report".into(),
        };
        match place::write_elsewhere(&name, |out| out.write_all(report)) {
            Ok(saved) => ReportError::Saved { failed, saved },
            Err(tried) => ReportError::Lost { failed, tried },
        }
    }
}
