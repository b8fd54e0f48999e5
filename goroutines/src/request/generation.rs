//! Whether memory was reused.
//!
//! What a goroutine pointed to at one moment can be read later, even if it is garbage by then: until a garbage collection
//! has ended and its memory is taken for something else. Each p takes memory from a cache of its own, and empties that
//! before it takes any that a collection has freed, and says so there (`runtime/mcache.go`, `prepareForSweep` and
//! `flushGen`). If that has not changed between two moments at any p, no memory was reused in between.

use std::hash::Hasher;

use fgspy_memory::{Memory, Range, ReadError};
use rustc_hash::FxHasher;

use crate::Runtime;
use crate::bytes::{u64_at, words};

/// The most p's that are believed.
const MAX_PROCESSORS: u64 = 4096;
/// The slice `runtime.allp`: address, length, capacity.
const HEADER_BYTES: usize = 24;

/// Where the caches of all p's are.
#[derive(Debug, Default)]
pub(super) struct Generation {
    /// The slice of p's by which they were found.
    header: Vec<u8>,
    caches: Vec<u64>,
}

impl Generation {
    /// What must be read for [`Generation::value`]; nothing where the p's of this program were not found.
    pub(super) fn ranges(&self, runtime: &Runtime) -> Vec<Range> {
        let Some(scheduler) = runtime.scheduler else { return Vec::new() };
        [Range { addr: scheduler.allp, len: HEADER_BYTES }].into_iter().chain(self.caches(runtime)).collect()
    }

    /// What must be read for [`Generation::value_of_caches`].
    pub(super) fn caches(&self, runtime: &Runtime) -> impl Iterator<Item = Range> {
        let offset = u64::from(runtime.layout.mcache.flush_gen);
        self.caches.iter().map(move |cache| Range { addr: cache.wrapping_add(offset), len: 4 })
    }

    /// What stays the same while no memory is reused, from the bytes of [`Generation::ranges`]. `None` when there are
    /// other p's now.
    pub(super) fn value(&self, bytes: &[u8], got: &[usize]) -> Option<u64> {
        let (header, caches) = bytes.split_at_checked(HEADER_BYTES)?;
        let (got_header, got) = got.split_first()?;
        if header != self.header || *got_header != HEADER_BYTES {
            return None;
        }
        self.value_of_caches(caches, got)
    }

    /// The same for a moment after which the p's are looked at again.
    pub(super) fn value_of_caches(&self, caches: &[u8], got: &[usize]) -> Option<u64> {
        if caches.is_empty() || got.iter().any(|got| *got != 4) {
            return None;
        }
        let mut hasher = FxHasher::default();
        hasher.write(caches);
        Some(hasher.finish())
    }

    /// Finds the p's anew.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub(super) fn resolve(&mut self, runtime: &Runtime, memory: &dyn Memory) -> Result<(), ReadError> {
        self.caches.clear();
        let Some(scheduler) = runtime.scheduler else { return Ok(()) };
        self.header = vec![0; HEADER_BYTES];
        if !memory.read_into(scheduler.allp, &mut self.header)? {
            return Ok(());
        }
        let (array, count) = (u64_at(&self.header, 0).unwrap_or(0), u64_at(&self.header, 8).unwrap_or(0));
        let len = 8 * count.min(MAX_PROCESSORS) as usize;
        let (mut bytes, mut got) = (Vec::new(), Vec::new());
        memory.read_ranges(&[Range { addr: array, len }], &mut bytes, &mut got)?;
        let offset = u64::from(runtime.layout.p.mcache);
        let caches: Vec<Range> = words(&bytes).map(|p| Range { addr: p.wrapping_add(offset), len: 8 }).collect();
        memory.read_ranges(&caches, &mut bytes, &mut got)?;
        self.caches.extend(words(&bytes));
        Ok(())
    }
}
