//! How the files of results are opened. They hold paths and request ids: only their owner may read them. Their folder may be
//! one that everybody can write to: no name that somebody else planted there is followed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// The permissions of a file that fgspy makes.
const MODE: u32 = 0o600;
/// The most symbolic links that are followed, as in the kernel.
const MAX_LINKS: usize = 40;
/// A folder with these bits is like `/tmp`: everybody may make files there, and delete only their own.
const SHARED: u32 = 0o1002;

/// What is at a path.
#[derive(Debug)]
pub(super) enum Place {
    /// A regular file or nothing, under its own name: symbolic links are followed.
    File(PathBuf),
    /// A pipe, a terminal, a device. It is open.
    Stream(File),
}

/// Finds out what is at `path`, and that it can be written to. Nothing there is changed.
pub(super) fn find(path: &Path) -> io::Result<Place> {
    let path = follow(path)?;
    match fs::metadata(&path) {
        Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(there) if !there.is_file() => open_stream(&path, there.file_type().is_fifo()).map(Place::Stream),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => {
            let partial = partial_name(&path);
            create(&partial).and_then(|_| fs::remove_file(&partial))?;
            Ok(Place::File(path))
        }
    }
}

/// Makes a file. A file or link of this name is an error: nothing is followed.
pub(super) fn create(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(MODE).open(path)
}

/// Writes a file that gets its name, and takes the place of what had it, once it is whole.
pub(super) fn write_whole(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let partial = partial_name(path);
    let mut file = create(&partial)?;
    let written = write(&mut file).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        // What did not become whole is not left lying about.
        let _ = fs::remove_file(&partial);
    }
    written
}

/// Writes a file to another place after a failure such as a full disk: to the folder for temporary files, else to shared
/// memory. Returns its path, or why each of these could not be written, each for a line of its own.
pub(super) fn write_elsewhere(
    name: &str,
    write: impl Fn(&mut dyn Write) -> io::Result<()>,
) -> Result<PathBuf, Vec<String>> {
    let mut tried = Vec::new();
    for folder in [std::env::temp_dir(), PathBuf::from("/dev/shm")] {
        let saved = folder.join(format!("fgspy-{}-{name}", std::process::id()));
        match write_whole(&saved, &write) {
            Ok(()) => return Ok(saved),
            Err(error) => tried.push(format!("\n  {}: {error}", saved.display())),
        }
    }
    Err(tried)
}

/// A hidden name beside `path`, on the same file system.
fn partial_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.partial", std::process::id()))
}

/// The path that symbolic links at `path` lead to. A link in a shared folder is followed only if it is ours or the folder's
/// owner's, as the kernel does where `fs.protected_symlinks` is set.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(link) = fs::symlink_metadata(&path) else { return Ok(path) };
        if !link.is_symlink() {
            return Ok(path);
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let shared = fs::metadata(folder)?;
        if shared.mode() & SHARED == SHARED
            && ![rustix::process::geteuid().as_raw(), shared.uid()].contains(&link.uid())
        {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it is a link that another user made in a shared folder",
            ));
        }
        if path.starts_with("/proc") || path.starts_with("/dev") {
            // `/dev/stdout` leads to what has no path (`pipe:[1234]`); only the kernel can follow it.
            return if fs::metadata(&path)?.is_file() { fs::canonicalize(&path) } else { Ok(path) };
        }
        path = folder.join(fs::read_link(&path)?);
    }
    Err(io::Error::other("too many symbolic links"))
}

/// Opens what is no regular file. To open a FIFO would wait for a reader, perhaps for ever.
fn open_stream(path: &Path, is_fifo: bool) -> io::Result<File> {
    let flags = if is_fifo { OFlags::NONBLOCK } else { OFlags::empty() };
    let opened = File::options().write(true).custom_flags(flags.bits() as i32).open(path);
    let file = opened.map_err(|error| match rustix::io::Errno::from_io_error(&error) {
        Some(rustix::io::Errno::NXIO) if is_fifo => {
            io::Error::other("it is a FIFO that nobody reads; start the reader first")
        }
        _ => error,
    })?;
    if is_fifo {
        // Once it is open, a full pipe is waited for.
        fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    }
    Ok(file)
}
