//! Where a result goes. The place is tried before anything is recorded, and nothing recorded is lost if it fails after.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::bail;
use fgspy_export::{Format, write};
use fgspy_profile::Profile;
use thiserror::Error;

/// The result cannot be written.
#[derive(Debug, Error)]
pub(crate) enum OutputError {
    /// Found out before the recording.
    #[error("{path} cannot be written: {source}\n  choose another place with --output FILE; nothing was recorded")]
    Place { path: PathBuf, source: io::Error },
    /// Found out after it, but the recording is safe.
    #[error(
        "{path} could not be written: {source}\n  the recording was saved to {saved}\n  \
         write it again with: fgspy report {saved} --output FILE"
    )]
    Saved { path: PathBuf, source: io::Error, saved: PathBuf },
    /// Found out after it, and there is no other place either.
    #[error("{path} could not be written: {source}\n  nor could the recording be saved to {tried}: {fallback}")]
    Lost { path: PathBuf, source: io::Error, tried: PathBuf, fallback: io::Error },
    /// Standard output.
    #[error("standard output could not be written")]
    Stdout(#[source] io::Error),
}

/// A place that a profile can be written to.
pub(crate) struct Output {
    format: Format,
    place: Place,
}

enum Place {
    Stdout,
    /// Something that is there and no regular file: a pipe, a terminal.
    Device(PathBuf, File),
    /// A file that gets its name once it is whole; until then it is called `partial`.
    New {
        path: PathBuf,
        partial: PathBuf,
        file: File,
    },
}

/// The format, and the file to write: what is not given follows from what is.
pub(crate) fn choose(
    output: Option<&Path>,
    format: Option<Format>,
    program: &str,
) -> anyhow::Result<(PathBuf, Format)> {
    Ok(match (output, format) {
        (Some(path), Some(format)) => (path.to_owned(), format),
        (None, format) => {
            let format = format.unwrap_or(Format::FlameGraph);
            (PathBuf::from(default_name(program, format)), format)
        }
        (Some(path), None) => match Format::from_path(path) {
            Some(format) => (path.to_owned(), format),
            None if path == Path::new("-") => bail!("say which --format to write to standard output"),
            None => bail!(
                "{} has an ending that stands for no format (.svg .pb.gz .folded .json .fgspy)\n  say which --format to write",
                path.display()
            ),
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
        let place = if path == Path::new("-") {
            Place::Stdout
        } else {
            let failed = |source| OutputError::Place { path: path.to_owned(), source };
            match fs::metadata(path) {
                Ok(there) if there.is_dir() => return Err(failed(io::ErrorKind::IsADirectory.into())),
                Ok(there) if !there.is_file() => {
                    Place::Device(path.to_owned(), File::options().write(true).open(path).map_err(failed)?)
                }
                _ => {
                    let partial = partial_name(path);
                    let file = File::options().write(true).create_new(true).open(&partial).map_err(failed)?;
                    Place::New { path: path.to_owned(), partial, file }
                }
            }
        };
        Ok(Output { format, place })
    }

    /// Writes `profile`. Returns the file's path, if it is one.
    pub(crate) fn write(self, profile: &Profile) -> Result<Option<PathBuf>, OutputError> {
        let Output { format, mut place } = self;
        match &mut place {
            Place::Stdout => write_to(io::stdout().lock(), profile, format).map_err(OutputError::Stdout)?,
            Place::Device(path, file) => {
                write_to(file, profile, format).map_err(|source| OutputError::Place { path: path.clone(), source })?;
            }
            Place::New { path, partial, file } => {
                let written = write_to(&mut *file, profile, format)
                    .and_then(|()| file.sync_all())
                    .and_then(|()| fs::rename(&*partial, &*path));
                match written {
                    Ok(()) => return Ok(Some(path.clone())),
                    Err(source) => return Err(save_elsewhere(profile, path.clone(), source)),
                }
            }
        }
        Ok(None)
    }
}

/// What did not become whole is not left lying about.
impl Drop for Place {
    fn drop(&mut self) {
        if let Place::New { partial, .. } = self {
            let _ = fs::remove_file(partial); // After the rename there is nothing of that name.
        }
    }
}

/// A hidden name beside `path`, on the same file system.
fn partial_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.partial", std::process::id()))
}

fn write_to(out: impl Write, profile: &Profile, format: Format) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    write(profile, format, &mut out)?;
    out.flush()
}

/// The disk is full, or the like: keeps the whole recording in the folder for temporary files.
fn save_elsewhere(profile: &Profile, path: PathBuf, source: io::Error) -> OutputError {
    let saved = std::env::temp_dir().join(format!("fgspy-{}.fgspy", std::process::id()));
    let result = File::create_new(&saved).and_then(|file| write_to(file, profile, Format::Raw));
    match result {
        Ok(()) => OutputError::Saved { path, source, saved },
        Err(fallback) => {
            let _ = fs::remove_file(&saved);
            OutputError::Lost { path, source, tried: saved, fallback }
        }
    }
}

/// The command that opens a file of this format.
pub(crate) fn how_to_open(path: &Path, format: Format) -> String {
    let path = path.display();
    match format {
        Format::FlameGraph => format!("xdg-open {path}   (or any browser)"),
        Format::Pprof => format!("go tool pprof -http=: {path}"),
        Format::Folded => format!("less -S {path}   (or flamegraph.pl, inferno, speedscope)"),
        Format::Json => format!("jq . {path} | less"),
        Format::Raw => format!("fgspy report {path} --output {path}.svg"),
    }
}
