//! Memories that no process ever had.

use std::cell::Cell;

use fgspy_memory::{MAX_BATCH_BYTES, Memory, Range, ReadError};

use crate::recorded::Recorded;

/// Gives every word of `ranges` as `word` says; what it says is not mapped ends the range there.
fn fill(
    ranges: &[Range],
    buf: &mut Vec<u8>,
    got: &mut Vec<usize>,
    word: impl Fn(u64) -> Option<u64>,
) -> Result<(), ReadError> {
    let total: usize = ranges.iter().map(|range| range.len).sum();
    if total > MAX_BATCH_BYTES {
        return Err(ReadError::TooLarge);
    }
    buf.clear();
    got.clear();
    for range in ranges {
        let start = buf.len();
        while buf.len() < start + range.len {
            let address = range.addr.wrapping_add((buf.len() - start) as u64);
            let Some(word) = word(address & !7) else { break };
            let bytes = word.to_le_bytes();
            let bytes = &bytes[(address % 8) as usize..];
            buf.extend_from_slice(&bytes[..bytes.len().min(start + range.len - buf.len())]);
        }
        got.push(buf.len() - start);
        buf.resize(start + range.len, 0);
    }
    Ok(())
}

fn mix(seed: u64) -> u64 {
    // SplitMix64.
    let x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Something at nearly every address: numbers, code, and pointers to more of the same.
pub(crate) struct Noise<'a> {
    recorded: &'a Recorded,
    seed: u64,
    goroutines: u64,
    /// Something else each time.
    changing: bool,
    reads: Cell<u64>,
}

impl Noise<'_> {
    /// With a list of so many goroutines, as there would be none to read otherwise.
    pub(crate) fn new(recorded: &Recorded, seed: u64, goroutines: u64, changing: bool) -> Noise<'_> {
        Noise { recorded, seed, goroutines, changing, reads: Cell::new(0) }
    }

    fn word(&self, address: u64) -> Option<u64> {
        if address == self.recorded.runtime.list.len {
            return Some(self.goroutines);
        }
        let time = if self.changing { self.reads.get() } else { 0 };
        if mix(self.seed ^ (address >> 12)).is_multiple_of(16) {
            return None;
        }
        let noise = mix(self.seed ^ address ^ time.rotate_left(32));
        let module = self.recorded.runtime.binary.module();
        Some(match noise % 8 {
            0 => noise,
            1 | 2 => noise >> 59,
            3 | 4 => module.text + (noise >> 16) % (module.etext - module.text),
            5 => address.wrapping_add(noise >> 52),
            6 => address.wrapping_sub(noise >> 52),
            _ => 0xc0_0000_0000 + (noise >> 40),
        })
    }
}

impl Memory for Noise<'_> {
    fn read_ranges(&self, ranges: &[Range], buf: &mut Vec<u8>, got: &mut Vec<usize>) -> Result<(), ReadError> {
        self.reads.set(self.reads.get() + 1);
        fill(ranges, buf, got, |address| self.word(address))
    }
}

/// As many goroutines as one likes, all waiting at the top of endless stacks, all with the most and longest labels.
pub(crate) struct Crowd<'a> {
    recorded: &'a Recorded,
    goroutines: u64,
}

/// Where the list of g's, the g's and their stacks are.
const LIST: u64 = 1 << 40;
const GS: u64 = 1 << 41;
const STACKS: u64 = 1 << 42;
const STACK_BYTES: u64 = 1 << 20;
/// Everything from here on is labels: each word leads to more of them.
const LABELS: u64 = 1 << 60;

impl Crowd<'_> {
    pub(crate) fn new(recorded: &Recorded, goroutines: u64) -> Crowd<'_> {
        Crowd { recorded, goroutines }
    }

    fn word(&self, address: u64) -> u64 {
        let runtime = &self.recorded.runtime;
        let g_bytes = u64::from(runtime.layout.g.size);
        match address {
            LABELS.. => LABELS + 8,
            // A frame: the caller's frame pointer, and a return address after a call in a function with a frame.
            STACKS.. if address.is_multiple_of(16) => address + 16,
            STACKS.. => self.a_return_address(),
            GS.. => self.field((address - GS) / g_bytes, (address - GS) % g_bytes),
            LIST.. => GS + (address - LIST) / 8 * g_bytes,
            _ if address == runtime.list.len => self.goroutines,
            _ if address == runtime.list.ptr => LIST,
            _ => 0,
        }
    }

    /// The word at `offset` of the g of goroutine `number`.
    fn field(&self, number: u64, offset: u64) -> u64 {
        let (g, gobuf) = (&self.recorded.runtime.layout.g, &self.recorded.runtime.layout.gobuf);
        let lo = STACKS + number * STACK_BYTES;
        let at = |field: u32| u64::from(field);
        match offset {
            _ if offset == at(g.stack_lo) => lo,
            _ if offset == at(g.stack_hi) => lo + STACK_BYTES,
            _ if offset == at(g.sched + gobuf.sp) || offset == at(g.sched + gobuf.bp) => lo + 16,
            _ if offset == at(g.sched + gobuf.pc) => self.a_return_address(),
            _ if offset == at(g.atomicstatus) => 4,
            _ if offset == at(g.goid) => number + 1,
            _ if offset == at(g.labels) => LABELS,
            _ => 0,
        }
    }

    fn a_return_address(&self) -> u64 {
        let parked = self.recorded.goroutines.iter().find(|goroutine| goroutine.g.goid == 1);
        parked.and_then(|goroutine| goroutine.stack.pcs().get(1).copied()).unwrap_or(0)
    }
}

impl Memory for Crowd<'_> {
    fn read_ranges(&self, ranges: &[Range], buf: &mut Vec<u8>, got: &mut Vec<usize>) -> Result<(), ReadError> {
        fill(ranges, buf, got, |address| Some(self.word(address)))
    }
}
