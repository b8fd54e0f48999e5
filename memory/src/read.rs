//! The one trait through which everybody reads a target.

use thiserror::Error;

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
    /// The process has exited, or has replaced itself by another program.
    #[error("the target process has exited")]
    TargetGone,
    /// The kernel refuses to let us read this process.
    #[error("reading the target's memory is not permitted")]
    Denied,
}

/// Read access to a target's memory.
pub trait Memory: Send {
    /// Reads all `ranges` in one batch, back to back, into `buf`, which is resized to the sum of their lengths: range
    /// `i` starts where range `i - 1` ends. `got` is resized to `ranges.len()`; `got[i]` is how many bytes of range `i`
    /// arrived (a prefix; the rest is zero).
    ///
    /// The bytes of one batch are not a consistent picture: the target runs on while they are copied.
    fn read_ranges(&self, ranges: &[Range], buf: &mut Vec<u8>, got: &mut Vec<usize>) -> Result<(), ReadError>;

    /// Fills `out` from `addr`. `Ok(false)` when not all of it is mapped.
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
