//! Copies of many g's in few reads.

use fgspy_memory::{Memory, Range, ReadError};

/// Bytes between two g's that are read along with them: a further range costs as much as some kilobytes.
const MAX_GAP: u64 = 2 << 10;
/// The longest range that is read for several g's.
const MAX_RUN: u64 = 32 << 10;

/// Reads structs of one size, and merges those that lie close together into one range. Keeps its buffers.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    ranges: Vec<Range>,
    buf: Vec<u8>,
    got: Vec<usize>,
    /// Of each struct: its range, where in that, and where the range begins in `buf`.
    places: Vec<Place>,
    single: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    range: usize,
    inside: usize,
    at: usize,
}

impl Copies {
    /// Reads `first`, then `len` bytes at each of `addresses`; the closer neighbours in this order are in memory, the better.
    pub(crate) fn read(
        &mut self,
        memory: &dyn Memory,
        first: &[Range],
        len: usize,
        addresses: impl Iterator<Item = u64>,
    ) -> Result<(), ReadError> {
        self.ranges.clear();
        self.places.clear();
        self.ranges.extend(first);
        let (mut start, mut end) = (0u64, 0u64);
        let mut at = first.iter().rev().skip(1).map(|range| range.len).sum();
        for address in addresses {
            let this_end = address.saturating_add(len as u64);
            let joins = self.ranges.len() > first.len()
                && address >= start
                && address.saturating_sub(end) <= MAX_GAP
                && this_end - start <= MAX_RUN;
            if let (true, Some(range)) = (joins, self.ranges.last_mut()) {
                end = end.max(this_end);
                range.len = (end - start) as usize;
            } else {
                at += self.ranges.last().map_or(0, |range| range.len);
                (start, end) = (address, this_end);
                self.ranges.push(Range { addr: address, len });
            }
            self.places.push(Place { range: self.ranges.len() - 1, inside: (address - start) as usize, at });
        }
        memory.read_ranges(&self.ranges, &mut self.buf, &mut self.got)
    }

    /// What was read of so many ranges of those that were read first: their bytes, and how many there are of each.
    pub(crate) fn first(&self, ranges: usize) -> (&[u8], &[usize]) {
        let len = self.ranges.iter().take(ranges).map(|range| range.len).sum();
        (self.buf.get(..len).unwrap_or(&[]), self.got.get(..ranges).unwrap_or(&[]))
    }

    /// The copy of struct number `index`; `None` when it is not wholly mapped.
    pub(crate) fn get(&mut self, memory: &dyn Memory, len: usize, index: usize) -> Result<Option<&[u8]>, ReadError> {
        let Some(&Place { range, inside, at }) = self.places.get(index) else { return Ok(None) };
        let got = self.got.get(range).copied().unwrap_or(0);
        if inside + len <= got {
            return Ok(self.buf.get(at + inside..at + inside + len));
        }
        // Something between this one and the start of the range is not mapped; it may be, all the same.
        let Some(&Range { addr, len: whole }) = self.ranges.get(range) else { return Ok(None) };
        if whole == len {
            return Ok(None);
        }
        self.single.resize(len, 0);
        let address = addr.wrapping_add(inside as u64);
        Ok(memory.read_into(address, &mut self.single)?.then_some(self.single.as_slice()))
    }
}
