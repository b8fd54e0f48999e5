//! The file that a profile is written to. The place is tried before anything is recorded; if writing fails later, the recording
//! is saved elsewhere.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fgspy_export::{Format, summary, write};
use fgspy_profile::Profile;
use thiserror::Error;

use super::error::{OutputError, STDOUT, STDOUT_NAME};
use super::place::{self, Place};
use crate::exit::{ExitStatus, Status};

/// The command line does not say what to write.
#[derive(Debug, Error)]
pub(crate) enum ChoiceError {
    #[error("say which --format to write to standard output: {}", format_names())]
    Stdout,
    #[error(
        "{path} has an ending that stands for no format (.svg .pb.gz .folded .json .fgspy)\n  \
         say which --format to write: {}",
        format_names()
    )]
    Ending { path: PathBuf },
}

fn format_names() -> String {
    Format::ALL.map(Format::name).join(", ")
}

impl ExitStatus for ChoiceError {
    fn status(&self) -> Status {
        Status::Usage
    }
}

/// The result of a recording could not be written.
#[derive(Debug, Error)]
pub(crate) enum RescueError {
    /// But it is safe.
    #[error(
        "{failed}\n  the recording was saved to {saved}\n  write it again with: fgspy report {saved} --output FILE"
    )]
    Saved { failed: OutputError, saved: PathBuf },
    /// And there is no other place either.
    #[error("{failed}\n  nor could the recording be saved elsewhere{}", tried.concat())]
    Lost { failed: OutputError, tried: Vec<String> },
}

impl ExitStatus for RescueError {
    fn status(&self) -> Status {
        Status::NotWritten
    }
}

/// A place that a profile can be written to.
pub(crate) struct Output {
    format: Format,
    /// As the user calls it.
    path: PathBuf,
    /// The file that it leads to.
    target: PathBuf,
    /// What is there already and is no regular file: standard output, a pipe, a terminal.
    stream: Option<Box<dyn Write>>,
}

/// The format, and the file to write: what is not given follows from what is.
pub(crate) fn choose(
    output: Option<&Path>,
    format: Option<Format>,
    program: &str,
) -> Result<(PathBuf, Format), ChoiceError> {
    Ok(match (output, format) {
        (Some(path), Some(format)) => (path.to_owned(), format),
        (None, format) => {
            let format = format.unwrap_or(Format::FlameGraph);
            (PathBuf::from(default_name(program, format)), format)
        }
        (Some(path), None) => match Format::from_path(path) {
            Some(format) => (path.to_owned(), format),
            None if path == Path::new(STDOUT) => return Err(ChoiceError::Stdout),
            // Which format does not matter: nothing can be written there.
            None if path.is_dir() => (path.to_owned(), Format::FlameGraph),
            None => return Err(ChoiceError::Ending { path: path.to_owned() }),
        },
    })
}

/// `checkout-2026-11-23T03.12.07Z.svg`
fn default_name(program: &str, format: Format) -> String {
    let safe: String =
        program.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string().replace(':', ".");
    format!("{safe}-{now}.{}", format.ending())
}

impl Output {
    /// Makes sure that `path` can be written, without touching what may be there.
    pub(crate) fn prepare(path: &Path, format: Format) -> Result<Output, OutputError> {
        let output = |path: PathBuf, stream| Output { format, target: path.clone(), path, stream };
        if path == Path::new(STDOUT) {
            return Ok(output(STDOUT_NAME.into(), Some(Box::new(io::stdout()))));
        }
        match place::find(path) {
            Ok(Place::File(target)) => Ok(Output { target, ..output(path.to_owned(), None) }),
            Ok(Place::Stream(file)) => Ok(output(path.to_owned(), Some(Box::new(file)))),
            Err(cause) => Err(OutputError::Unwritable { path: path.to_owned(), cause }),
        }
    }

    /// Whether a write may wait for a reader.
    pub(crate) fn may_wait(&self) -> bool {
        self.stream.is_some()
    }

    /// The format that it is to have.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Writes `profile`. Returns the file's path, if it is one.
    pub(crate) fn write(self, profile: &Profile) -> Result<Option<PathBuf>, OutputError> {
        let Output { format, path, target, stream } = self;
        let written = match stream {
            Some(stream) => write_to(stream, profile, format).map(|()| None),
            None => write_whole(&target, profile, format).map(|()| Some(path.clone())),
        };
        written.map_err(|source| OutputError::Failed { path, source })
    }
}

fn write_whole(path: &Path, profile: &Profile, format: Format) -> io::Result<()> {
    place::write_whole(path, |out| write_to(out, profile, format))
}

fn write_to(out: impl Write, profile: &Profile, format: Format) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    write(profile, format, &mut out)?;
    out.flush()
}

/// Saves the recording elsewhere: see [`place::write_elsewhere`].
pub(crate) fn rescue(profile: &Profile, failed: OutputError) -> RescueError {
    let name = default_name(summary::program(profile), Format::Raw);
    match place::write_elsewhere(&name, |out| write_to(out, profile, Format::Raw)) {
        Ok(saved) => RescueError::Saved { failed, saved },
        Err(tried) => RescueError::Lost { failed, tried },
    }
}

/// The command that opens a file of this format.
fn how_to_open(path: &Path, format: Format) -> String {
    let path = path.display();
    match format {
        Format::FlameGraph => format!("xdg-open {path}   (or any browser)"),
        Format::Pprof => format!("go tool pprof -http=: {path}"),
        Format::Folded => format!("less -S {path}   (or flamegraph.pl, inferno, speedscope)"),
        Format::Json => format!("jq . {path} | less"),
        Format::Raw => format!("fgspy report {path} --output {path}.svg"),
    }
}

/// Where a file is, and what opens it.
pub(crate) fn written(path: &Path, format: Format) -> String {
    format!("Wrote {} to {}\n  open it with: {}", format.name(), path.display(), how_to_open(path, format))
}
