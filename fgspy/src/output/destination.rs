//! Where a report goes: standard output or a file.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::error::{OutputError, STDOUT};

/// Standard output, or a file.
#[derive(Debug)]
pub(crate) enum Destination {
    /// Standard output.
    Stdout,
    /// A file, or what has a name like one.
    Path(PathBuf),
}

impl Destination {
    /// Makes sure that the place can be written to, without touching what may be there.
    pub(crate) fn prepare(path: Option<&Path>) -> Result<Destination, OutputError> {
        let Some(path) = path.filter(|path| *path != Path::new(STDOUT)) else { return Ok(Destination::Stdout) };
        let failed = |cause| OutputError::Unwritable { path: path.to_owned(), cause };
        if path.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let existed = path.exists();
        File::options().append(true).create(true).open(path).map_err(failed)?;
        if !existed {
            fs::remove_file(path).map_err(failed)?;
        }
        Ok(Destination::Path(path.to_owned()))
    }

    /// Whether it is standard output.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self, Destination::Stdout)
    }

    /// Writes to it, in place of what was there.
    pub(crate) fn write(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), OutputError> {
        let finish = |mut out: BufWriter<Box<dyn Write>>| write(&mut out).and_then(|()| out.flush());
        match self {
            Destination::Stdout => finish(BufWriter::new(Box::new(io::stdout()))).map_err(OutputError::to_stdout),
            Destination::Path(path) => File::create(path)
                .and_then(|file| finish(BufWriter::new(Box::new(file))))
                .map_err(|source| OutputError::Failed { path: path.clone(), source }),
        }
    }
}
