//! Executable files, read by position.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use fgspy_gobin::Source;
use rustix::fs::{Mode, OFlags, Stat};

/// The most bytes of one read (1 GiB, the largest function table that is accepted): a file may claim any length without
/// having it (it may be sparse).
const MAX_READ: usize = 1 << 30;
/// The unit that small reads are cached in.
const BLOCK: usize = 64 << 10;
/// How many blocks are kept: 4 MiB.
const BLOCKS: usize = 64;

/// A file that is read by position, not mapped: a file that is truncated while mapped would kill us with `SIGBUS`.
///
/// Reads smaller than a block of 64 KiB go through a cache of 4 MiB.
#[derive(Debug)]
pub struct ExeFile {
    file: File,
    len: u64,
    id: FileId,
    cache: Mutex<Cache>,
}

/// The device (major, minor) and inode number that name a file.
pub(crate) type FileId = ((u32, u32), u64);

pub(crate) fn id_of(stat: &Stat) -> FileId {
    ((rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev)), stat.st_ino)
}

impl ExeFile {
    /// Opens a regular file. Fails for anything else, and does not block on a FIFO.
    pub fn open(path: &Path) -> io::Result<ExeFile> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        ExeFile::from_file(rustix::fs::open(path, flags, Mode::empty())?.into())
    }

    /// Takes over an open regular file. Its length is taken to be what it is now.
    pub fn from_file(file: File) -> io::Result<ExeFile> {
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let stat = rustix::fs::fstat(&file)?;
        let len = u64::try_from(stat.st_size).unwrap_or(0);
        Ok(ExeFile { file, len, id: id_of(&stat), cache: Mutex::default() })
    }

    /// Another handle on the same file, with a cache of its own.
    pub fn try_clone(&self) -> io::Result<ExeFile> {
        Ok(ExeFile { file: self.file.try_clone()?, len: self.len, id: self.id, cache: Mutex::default() })
    }

    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    fn read_uncached(&self, offset: u64, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    }

    /// Appends what block `index` has of the file's bytes from `from` to `to`.
    fn append_cached(&self, cache: &mut Cache, index: u64, from: u64, to: u64, out: &mut Vec<u8>) -> Option<()> {
        let start = index.checked_mul(BLOCK as u64)?;
        let slot = cache.slots.get_mut(usize::try_from(index % BLOCKS as u64).ok()?)?;
        if slot.as_ref().is_none_or(|(cached, _)| *cached != index) {
            let len = usize::try_from((self.len - start).min(BLOCK as u64)).ok()?;
            *slot = Some((index, self.read_uncached(start, len)?));
        }
        let (_, block) = slot.as_ref()?;
        let within = |offset: u64| usize::try_from(offset.checked_sub(start)?).ok();
        out.extend_from_slice(block.get(within(from.max(start))?..within(to)?.min(block.len()))?);
        Some(())
    }
}

impl Source for ExeFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, offset: u64, len: usize) -> Option<Cow<'_, [u8]>> {
        let end = offset.checked_add(len as u64).filter(|&end| end <= self.len)?;
        if len > MAX_READ {
            return None;
        }
        if len >= BLOCK {
            return self.read_uncached(offset, len).map(Cow::Owned);
        }
        let mut out = Vec::with_capacity(len);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        while out.len() < len {
            let from = offset + out.len() as u64;
            self.append_cached(&mut cache, from / BLOCK as u64, from, end, &mut out)?;
        }
        Some(Cow::Owned(out))
    }
}

/// Blocks of the file, each in the one slot that its number leads to.
#[derive(Debug)]
struct Cache {
    slots: Vec<Option<(u64, Vec<u8>)>>,
}

impl Default for Cache {
    fn default() -> Self {
        Cache { slots: vec![None; BLOCKS] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five blocks and a bit.
    fn file_with(bytes: &[u8]) -> (tempfile::TempDir, ExeFile) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("exe");
        std::fs::write(&path, bytes).unwrap();
        let file = ExeFile::open(&path).unwrap();
        (dir, file)
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len as u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).take(len).collect()
    }

    #[test]
    fn every_read_gives_the_files_bytes() {
        let bytes = pattern(5 * BLOCK + 77);
        let (_dir, file) = file_with(&bytes);
        assert_eq!(file.len(), bytes.len() as u64);
        let edges = [0, 1, 8, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 5 * BLOCK, bytes.len() - 1, bytes.len()];
        for from in edges {
            for len in edges {
                let expected = bytes.get(from..from + len);
                assert_eq!(file.read(from as u64, len).as_deref(), expected, "{len} from {from}");
            }
        }
        assert_eq!(file.read(u64::MAX, 8), None);
        assert_eq!(file.read(0, usize::MAX), None);
    }

    #[test]
    fn blocks_that_share_a_slot_are_not_confused() {
        let bytes = pattern((BLOCKS + 2) * BLOCK);
        let (_dir, file) = file_with(&bytes);
        for block in [0, BLOCKS, 0, 1, BLOCKS + 1, 1] {
            let at = block * BLOCK + 100;
            assert_eq!(file.read(at as u64, 50).as_deref(), bytes.get(at..at + 50));
        }
    }

    #[test]
    fn a_file_that_shrinks_reads_as_missing() {
        let (dir, file) = file_with(&pattern(3 * BLOCK));
        std::fs::OpenOptions::new().write(true).open(dir.path().join("exe")).unwrap().set_len(BLOCK as u64).unwrap();
        assert!(file.read(0, 100).is_some());
        assert_eq!(file.read(2 * BLOCK as u64, 100), None);
        assert_eq!(file.read(0, 2 * BLOCK), None);
    }

    #[test]
    fn a_sparse_file_cannot_make_us_allocate_its_length() {
        let (dir, _) = file_with(b"x");
        let path = dir.path().join("exe");
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        let file = ExeFile::open(&path).unwrap();
        assert_eq!(file.len(), 1 << 40);
        assert_eq!(file.read(0, 1 << 39), None);
        assert_eq!(file.read((1 << 40) - 8, 8).as_deref(), Some(&[0; 8][..]));
    }

    #[test]
    fn only_regular_files() {
        assert!(ExeFile::open(Path::new("/")).is_err());
        assert!(ExeFile::open(Path::new("/dev/zero")).is_err());
    }
}
