//! A file that is written record by record while fgspy runs. It has the name `FILE.partial` until it is complete, so what was
//! recorded is there however fgspy ends.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::destination::Destination;
use super::error::{OutputError, STDOUT_NAME};
use super::place;
use crate::exit::{ExitStatus, Failure, Status};

/// Bytes that are kept before they are written.
const BUFFER: usize = 1 << 20;

/// The file, or what else records are written to.
pub(crate) struct RecordFile {
    out: Out,
    /// Whole records that are not written yet.
    buffer: Vec<u8>,
    /// Nothing is written after a failure.
    failed: Option<io::Error>,
}

enum Out {
    /// Standard output, a pipe, a device: it is written at once.
    Stream { name: PathBuf, out: Box<dyn Write> },
    /// A file under another name than it is to have, and how much of it is written.
    File { path: PathBuf, partial: PathBuf, file: File, written: u64 },
}

/// The file could not be written to its end.
#[derive(Debug, thiserror::Error)]
#[error("{path} could not be written: {source}\n  what was recorded until then is in {partial}")]
pub(crate) struct IncompleteFile {
    path: PathBuf,
    partial: PathBuf,
    source: io::Error,
}

impl ExitStatus for IncompleteFile {
    fn status(&self) -> Status {
        Status::NotWritten
    }
}

impl RecordFile {
    /// Makes the file.
    pub(crate) fn create(destination: &Destination) -> Result<RecordFile, OutputError> {
        Ok(RecordFile { out: Out::create(destination)?, buffer: Vec::with_capacity(BUFFER), failed: None })
    }

    /// The name of the file until it is whole, if it is one.
    pub(crate) fn name(&self) -> Option<&Path> {
        match &self.out {
            Out::File { partial, .. } => Some(partial),
            Out::Stream { .. } => None,
        }
    }

    /// Appends a record.
    pub(crate) fn record(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        if self.failed.is_some() {
            return;
        }
        append(&mut self.buffer);
        if self.buffer.len() >= BUFFER / 2 {
            self.flush();
        }
    }

    /// Writes what was appended.
    pub(crate) fn flush(&mut self) {
        if self.failed.is_none() && !self.buffer.is_empty() {
            self.failed = self.out.write(&self.buffer).err();
        }
        self.buffer.clear();
    }

    /// Whether writing has failed: then nothing more is written.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Writes the rest, and gives the file its name.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.flush();
        let failed = match self.failed {
            Some(error) => Err(error),
            None => self.out.finish(),
        };
        failed.map_err(|source| match self.out {
            Out::File { path, partial, .. } => IncompleteFile { path, partial, source }.into(),
            Out::Stream { name, .. } => OutputError::Failed { path: name, source }.into(),
        })
    }
}

impl Out {
    fn create(destination: &Destination) -> Result<Out, OutputError> {
        let path = match destination {
            Destination::Stdout => return Ok(Out::Stream { name: STDOUT_NAME.into(), out: Box::new(io::stdout()) }),
            Destination::Stream { path, file } => {
                let file = file.try_clone().map_err(|source| OutputError::Failed { path: path.clone(), source })?;
                return Ok(Out::Stream { name: path.clone(), out: Box::new(file) });
            }
            Destination::Path(path) => path,
        };
        let failed = |cause| OutputError::Unwritable { path: path.clone(), cause };
        // A file of that name belongs to another fgspy that is writing, or was left by one that was killed.
        let names = [String::new(), format!(".{}", std::process::id())].map(|part| partial_name(path, &part));
        let mut error = io::Error::from(io::ErrorKind::AlreadyExists);
        for partial in names {
            match place::create(&partial) {
                Ok(file) => return Ok(Out::File { path: path.clone(), partial, file, written: 0 }),
                Err(failed) => error = failed,
            }
        }
        Err(failed(error))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Out::Stream { out, .. } => out.write_all(bytes).and_then(|()| out.flush()),
            Out::File { file, written, .. } => match file.write_all(bytes) {
                Ok(()) => {
                    *written += bytes.len() as u64;
                    Ok(())
                }
                Err(error) => {
                    // What is there ends with a whole record.
                    let _ = file.set_len(*written);
                    Err(error)
                }
            },
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self {
            Out::Stream { out, .. } => out.flush(),
            Out::File { path, partial, file, .. } => file.sync_all().and_then(|()| fs::rename(partial, path)),
        }
    }
}

/// `t.pftrace.partial`, beside the file, on the same file system.
fn partial_name(path: &Path, part: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!("{part}.partial"));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_gets_its_name_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.pftrace");
        fs::write(&path, "before").unwrap();
        let mut file = RecordFile::create(&Destination::Path(path.clone())).unwrap();
        file.record(|out| out.extend(b"one "));
        file.flush();
        assert_eq!(fs::read(file.name().unwrap()).unwrap(), b"one ");
        assert_eq!(names(folder.path()), ["t.pftrace", "t.pftrace.partial"]);
        file.record(|out| out.extend(b"two"));
        file.finish().unwrap();
        assert_eq!((names(folder.path()), fs::read(&path).unwrap()), (vec!["t.pftrace".into()], b"one two".to_vec()));
    }

    #[test]
    fn what_another_run_left_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join("t.pftrace.partial");
        fs::write(&left, "left").unwrap();
        let file = RecordFile::create(&Destination::Path(folder.path().join("t.pftrace"))).unwrap();
        assert_ne!(file.name(), Some(left.as_path()));
        file.finish().unwrap();
        assert_eq!((names(folder.path()).len(), fs::read(left).unwrap()), (2, b"left".to_vec()));
    }

    #[test]
    fn a_full_disk_keeps_whole_records_and_ends_the_writing() {
        let device = Path::new("/dev/full");
        let mut file = RecordFile::create(&Destination::prepare(Some(device)).unwrap()).unwrap();
        assert_eq!(file.name(), None);
        file.record(|out| out.extend(b"one"));
        file.flush();
        assert!(file.has_failed());
        file.record(|out| out.extend(b"two"));
        assert!(file.finish().unwrap_err().message().contains("/dev/full could not be written: No space left"));
    }
}
