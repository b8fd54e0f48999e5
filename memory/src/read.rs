//! The one trait through which everybody reads a target.

use std::sync::Arc;

use thiserror::Error;

/// The most bytes that one [`Memory::read_ranges`] may ask for (256 MiB).
///
/// Lengths often come from the target itself, which may lie; this bounds what a lie can cost. Read more in several
/// batches.
pub const MAX_BATCH_BYTES: usize = 256 << 20;

/// A range of the target's address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    /// First address.
    pub addr: u64,
    /// Length in bytes.
    pub len: usize,
}

/// Why nothing at all can be read from a target any more.
///
/// An unmapped address is *not* an error: it is an ordinary outcome of reading a moving target, reported per range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The address space is gone: the process has exited, or has replaced itself by another program.
    /// [`Process::still_same`](crate::Process::still_same) tells which.
    #[error("the target process has exited or runs another program now")]
    TargetGone,
    /// The kernel refuses to let us read this process (any more).
    #[error("reading the target's memory is not permitted")]
    Denied,
    /// A batch asked for more than [`MAX_BATCH_BYTES`]; nothing was read.
    #[error("a batch of reads asked for more than {MAX_BATCH_BYTES} bytes")]
    TooLarge,
}

/// Read access to a target's memory.
///
/// Reading costs by the call and by the page, hardly by the byte: put many ranges into one [`read_ranges`] and merge
/// neighbours. The single-range methods are for attach time.
///
/// [`read_ranges`]: Memory::read_ranges
pub trait Memory: Send {
    /// Reads all `ranges` in one batch, back to back, into `buf`, which is resized to the sum of their lengths: range
    /// `i` starts where range `i - 1` ends. `got` is resized to `ranges.len()`; `got[i]` is how many bytes of range `i`
    /// arrived (a prefix; the rest is zero).
    ///
    /// The bytes of one batch are not a consistent picture: the target runs on while they are copied. After an error,
    /// `buf` and `got` hold nothing to rely on.
    fn read_ranges(&self, ranges: &[Range], buf: &mut Vec<u8>, got: &mut Vec<usize>) -> Result<(), ReadError>;

    /// Fills `out` from `addr`. `Ok(false)` when not all of it is mapped; then `out` holds nothing to rely on.
    fn read_into(&self, addr: u64, out: &mut [u8]) -> Result<bool, ReadError> {
        let (mut buf, mut got) = (Vec::new(), Vec::new());
        self.read_ranges(&[Range { addr, len: out.len() }], &mut buf, &mut got)?;
        let whole = got.first() == Some(&out.len());
        if whole {
            out.copy_from_slice(&buf);
        }
        Ok(whole)
    }

    /// The little-endian word at `addr`, if it is mapped.
    fn read_u64(&self, addr: u64) -> Result<Option<u64>, ReadError> {
        let mut word = [0; 8];
        Ok(self.read_into(addr, &mut word)?.then(|| u64::from_le_bytes(word)))
    }
}

/// Passes every method on, so that an implementation's own `read_into` is not lost behind a pointer.
macro_rules! forward {
    () => {
        fn read_ranges(&self, ranges: &[Range], buf: &mut Vec<u8>, got: &mut Vec<usize>) -> Result<(), ReadError> {
            (**self).read_ranges(ranges, buf, got)
        }

        fn read_into(&self, addr: u64, out: &mut [u8]) -> Result<bool, ReadError> {
            (**self).read_into(addr, out)
        }

        fn read_u64(&self, addr: u64) -> Result<Option<u64>, ReadError> {
            (**self).read_u64(addr)
        }
    };
}

impl<M: Memory + Sync + ?Sized> Memory for &M {
    forward!();
}

impl<M: Memory + ?Sized> Memory for Box<M> {
    forward!();
}

impl<M: Memory + Sync + ?Sized> Memory for Arc<M> {
    forward!();
}

/// The number of bytes that `ranges` ask for, if that is not more than [`MAX_BATCH_BYTES`].
pub(crate) fn batch_bytes(ranges: &[Range]) -> Result<usize, ReadError> {
    ranges
        .iter()
        .try_fold(0usize, |sum, range| sum.checked_add(range.len))
        .filter(|&sum| sum <= MAX_BATCH_BYTES)
        .ok_or(ReadError::TooLarge)
}
