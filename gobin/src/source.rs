//! Where the bytes of an executable come from.

use std::borrow::Cow;

/// Random access to the bytes of an executable file.
///
/// `gobin` does no I/O: whoever has a file, a core dump or a recorded snapshot implements this. Reads may fail at any
/// time (the file may shrink under us) and must never panic.
pub trait Source: Send + Sync {
    /// Length of the file in bytes.
    fn len(&self) -> u64;

    /// Whether there is nothing to read.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Exactly `len` bytes from `offset`, or `None` when they are not all there.
    fn read(&self, offset: u64, len: usize) -> Option<Cow<'_, [u8]>>;
}

/// Exactly `len` bytes from `offset`. The file's length is checked first, so that a source is never asked for more than it
/// has, whatever a damaged header says.
pub(crate) fn read_exact(source: &dyn Source, offset: u64, len: usize) -> Option<Cow<'_, [u8]>> {
    if offset.checked_add(len as u64)? > source.len() {
        return None;
    }
    source.read(offset, len).filter(|bytes| bytes.len() == len)
}

impl Source for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read(&self, offset: u64, len: usize) -> Option<Cow<'_, [u8]>> {
        let start = usize::try_from(offset).ok()?;
        self.get(start..start.checked_add(len)?).map(Cow::Borrowed)
    }
}
