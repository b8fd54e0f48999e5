//! Shared by the tests that read real executables.
#![allow(dead_code)]

pub(crate) mod synthetic;

use std::borrow::Cow;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use fgspy_gobin::{GoBinary, Source};

/// A file that is read as needed, like the one that the real program uses.
pub(crate) struct FileSource {
    file: File,
    len: u64,
}

impl FileSource {
    pub(crate) fn open(path: &Path) -> FileSource {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let len = file.metadata().unwrap().len();
        FileSource { file, len }
    }
}

impl Source for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, offset: u64, len: usize) -> Option<Cow<'_, [u8]>> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset).ok()?;
        Some(Cow::Owned(bytes))
    }
}

pub(crate) fn open(path: &Path) -> GoBinary {
    GoBinary::parse(Box::new(FileSource::open(path))).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The Go executables to test with. Says so when there are none.
pub(crate) fn test_binaries(test: &str) -> Vec<PathBuf> {
    let paths = paths_from_env("FGSPY_TEST_BINARIES");
    if paths.is_empty() {
        fgspy_fixtures::skip(test, "FGSPY_TEST_BINARIES is not set (colon-separated paths of Go executables)");
    }
    paths
}

/// The paths in a colon-separated environment variable.
pub(crate) fn paths_from_env(name: &str) -> Vec<PathBuf> {
    let value = std::env::var_os(name).unwrap_or_default();
    std::env::split_paths(&value).filter(|path| !path.as_os_str().is_empty()).collect()
}

/// The `go` command.
pub(crate) fn go() -> PathBuf {
    std::env::var_os("FGSPY_GO").map_or_else(|| PathBuf::from("go"), PathBuf::from)
}

/// About `count` code addresses, spread evenly over all functions and, from one function to the next, over their code.
/// The first and last byte of functions are among them.
pub(crate) fn sample_addresses(binary: &GoBinary, count: usize) -> Vec<u64> {
    let total = binary.funcs().count().max(1);
    let per_function = (count / total).max(1);
    let every = (total / count.max(1)).max(1);
    let quantum = u64::from(binary.arch().pc_quantum());
    let mut addresses = Vec::new();
    for func in binary.funcs().step_by(every) {
        let len = func.end - func.entry;
        addresses.extend([func.entry, func.end - quantum]);
        for part in 0..per_function as u64 {
            // A different fraction of the length each time.
            let within = (u64::from(func.index) * 7919 + part * 104_729) % len;
            addresses.push(func.entry + within / quantum * quantum);
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}
