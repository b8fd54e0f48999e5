//! Remembering what was read, to replay it later.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use fgspy_gobin::Source;

use crate::image::Image;
use crate::read::{Memory, Range, ReadError};
use crate::sparse::Sparse;

/// The most bytes that one recorder remembers (1 GiB), by pages of 4 KiB.
pub(crate) const MAX_RECORDED: u64 = 1 << 30;

/// The page size that a failed read proves anything about: the smallest of any machine that runs Go.
const PAGE: u64 = 4096;

/// Passes reads on to a [`Memory`] or a [`Source`] and remembers the bytes they gave.
///
/// Where bytes are read more than once, the *last* answer wins, also when that answer is "not mapped". So a recording
/// of a running process is not a picture of one moment, but each reader finds what the recorded reader found last. For
/// a picture that is as consistent as the target allows, record one pass over it.
#[derive(Debug)]
pub struct Recorder<T> {
    inner: T,
    tape: Tape,
}

/// What a [`Recorder`] has remembered: a handle that stays while the recorder itself is given away.
#[derive(Clone, Debug)]
pub struct Tape(Arc<Mutex<Sparse>>);

impl<T> Recorder<T> {
    /// Starts with nothing remembered.
    pub fn new(inner: T) -> Self {
        Recorder { inner, tape: Tape(Arc::new(Mutex::new(Sparse::new(MAX_RECORDED)))) }
    }

    /// The handle on what is remembered.
    pub fn tape(&self) -> Tape {
        self.tape.clone()
    }
}

impl Tape {
    /// How many bytes were read but not remembered because the limit of 1 GiB was reached; 0 means that the recording
    /// is whole.
    pub fn dropped_bytes(&self) -> u64 {
        self.with(|sparse| sparse.dropped)
    }

    /// What is remembered now.
    pub(crate) fn image(&self) -> Image {
        self.with(|sparse| sparse.image())
    }

    fn with<R>(&self, act: impl FnOnce(&mut Sparse) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<M: Memory> Recorder<M> {
    /// Reads all of `ranges`, page by page, so that they are remembered whatever is read later: holes do not hide what
    /// lies behind them. The target is not stopped, so what changes meanwhile is recorded as it was at different times.
    pub fn capture(&self, ranges: &[Range]) -> Result<(), ReadError> {
        const CHUNK: usize = 1 << 20;
        let (mut buf, mut got) = (Vec::new(), Vec::new());
        for range in ranges {
            for start in (0..range.len).step_by(CHUNK) {
                let chunk = CHUNK.min(range.len - start);
                let Some(addr) = range.addr.checked_add(start as u64) else { break };
                self.read_ranges(&by_page(addr, chunk), &mut buf, &mut got)?;
            }
        }
        Ok(())
    }
}

/// Cuts a range at page limits.
fn by_page(addr: u64, len: usize) -> Vec<Range> {
    let (mut ranges, mut done) = (Vec::new(), 0);
    while let Some(addr) = addr.checked_add(done as u64).filter(|_| done < len) {
        let len = (len - done).min((PAGE - addr % PAGE) as usize);
        ranges.push(Range { addr, len });
        done += len;
    }
    ranges
}

impl<M: Memory> Memory for Recorder<M> {
    fn read_ranges(&self, ranges: &[Range], buf: &mut Vec<u8>, got: &mut Vec<usize>) -> Result<(), ReadError> {
        self.inner.read_ranges(ranges, buf, got)?;
        self.tape.with(|sparse| {
            let mut at = 0;
            for (range, &arrived) in ranges.iter().zip(got.iter()) {
                sparse.put(range.addr, buf.get(at..at + arrived).unwrap_or_default());
                at += range.len;
                if let Some(failed) = range.addr.checked_add(arrived as u64).filter(|_| arrived < range.len) {
                    // Of what did not arrive, only the page where it ended is known to be unmapped.
                    let page_left = (PAGE - failed % PAGE) as usize;
                    sparse.forget(failed, page_left.min(range.len - arrived));
                }
            }
        });
        Ok(())
    }
}

impl<S: Source> Source for Recorder<S> {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read(&self, offset: u64, len: usize) -> Option<Cow<'_, [u8]>> {
        let bytes = self.inner.read(offset, len)?;
        self.tape.with(|sparse| sparse.put(offset, &bytes));
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_cut_at_their_limits() {
        let range = |addr, len| Range { addr, len };
        assert_eq!(by_page(4090, 4106), [range(4090, 6), range(4096, 4096), range(8192, 4)]);
        assert_eq!(by_page(0, 0), []);
        assert_eq!(by_page(u64::MAX - 1, 5), [range(u64::MAX - 1, 2)]);
    }

    #[test]
    fn a_source_is_remembered_where_it_was_read() {
        let recorder = Recorder::new(b"0123456789".to_vec());
        let tape = recorder.tape();
        assert_eq!(recorder.read(2, 3).as_deref(), Some(&b"234"[..]));
        assert_eq!(recorder.read(4, 2).as_deref(), Some(&b"45"[..]));
        assert_eq!(recorder.read(8, 3), None);
        assert_eq!(tape.image().extents().collect::<Vec<_>>(), [(2, &b"2345"[..])]);
        assert_eq!(tape.dropped_bytes(), 0);
    }
}
