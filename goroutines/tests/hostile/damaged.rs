//! A recorded memory, changed in places.

use std::collections::BTreeMap;

use fgspy_memory::{Memory, Range, ReadError, Snapshot};
use proptest::prelude::*;
use proptest::sample::select;

use crate::recorded::Recorded;

/// One change.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    /// Another byte.
    Byte(u64, u8),
    /// Another word.
    Word(u64, u64),
    /// Nothing mapped from here on, for so many bytes.
    Hole(u64, u64),
}

impl Damage {
    /// Any change of a recorded zoo, more often than not in a place that matters, to a value that may pass for a true one.
    pub(crate) fn any(recorded: &Recorded) -> impl Strategy<Value = Damage> + use<> {
        (address(recorded), value(recorded), any::<u8>(), 0u64..5000, 0..10).prop_map(
            |(address, value, byte, len, kind)| match kind {
                0 => Damage::Hole(address, len),
                1..4 => Damage::Byte(address, byte),
                _ => Damage::Word(address, value),
            },
        )
    }
}

fn address(recorded: &Recorded) -> impl Strategy<Value = u64> + use<> {
    let list = recorded.runtime.list;
    let fields = recorded.runtime.layout.g.size as u64 / 8;
    let mut labels: Vec<u64> =
        recorded.goroutines.iter().map(|goroutine| goroutine.g.labels).filter(|at| *at != 0).collect();
    if labels.is_empty() {
        labels.clone_from(&recorded.addresses);
    }
    let stacks: Vec<u64> = recorded.goroutines.iter().filter_map(|goroutine| Some(goroutine.g.context()?.sp)).collect();
    let ranges: Vec<Range> = recorded.snapshot.recorded_ranges().collect();
    let words = |from: Vec<u64>, count: u64| (select(from), 0..count).prop_map(|(start, i)| start + 8 * i);
    prop_oneof![
        1 => select(vec![list.len, list.ptr]),
        4 => words(recorded.addresses.clone(), fields),
        3 => words(stacks, 40),
        2 => words(labels, 40),
        3 => (select(ranges), any::<prop::sample::Index>())
            .prop_map(|(range, at)| range.addr + at.index(range.len) as u64),
    ]
}

fn value(recorded: &Recorded) -> impl Strategy<Value = u64> + use<> {
    let text = recorded.runtime.binary.module();
    let ranges: Vec<Range> = recorded.snapshot.recorded_ranges().collect();
    prop_oneof![
        2 => 0u64..70,
        1 => (0u64..4096).prop_map(|back| u64::MAX - back),
        2 => (0u32..64).prop_map(|bit| 1u64 << bit),
        2 => text.text..text.etext,
        2 => select(recorded.addresses.clone()),
        2 => (select(ranges), any::<prop::sample::Index>())
            .prop_map(|(range, at)| range.addr + at.index(range.len) as u64),
        1 => any::<u64>(),
    ]
}

/// The memory of a snapshot with changes.
pub(crate) struct Damaged<'a> {
    inner: &'a Snapshot,
    bytes: BTreeMap<u64, u8>,
    holes: Vec<(u64, u64)>,
}

impl Damaged<'_> {
    pub(crate) fn new<'a>(inner: &'a Snapshot, damage: &[Damage]) -> Damaged<'a> {
        let mut damaged = Damaged { inner, bytes: BTreeMap::new(), holes: Vec::new() };
        for damage in damage {
            match *damage {
                Damage::Byte(address, byte) => drop(damaged.bytes.insert(address, byte)),
                Damage::Word(address, word) => damaged.bytes.extend((address..).zip(word.to_le_bytes())),
                Damage::Hole(start, len) => damaged.holes.push((start, start.saturating_add(len))),
            }
        }
        damaged
    }
}

impl Memory for Damaged<'_> {
    fn read_ranges(&self, ranges: &[Range], buf: &mut Vec<u8>, got: &mut Vec<usize>) -> Result<(), ReadError> {
        self.inner.read_ranges(ranges, buf, got)?;
        let mut rest = buf.as_mut_slice();
        for (range, got) in ranges.iter().zip(got) {
            let (copy, tail) = rest.split_at_mut(range.len);
            rest = tail;
            let end = range.addr.saturating_add(*got as u64);
            for (&address, &byte) in self.bytes.range(range.addr..end) {
                copy[(address - range.addr) as usize] = byte;
            }
            for &(start, hole_end) in &self.holes {
                if start < end && hole_end > range.addr {
                    *got = (*got).min(start.saturating_sub(range.addr) as usize);
                    copy[*got..].fill(0);
                }
            }
        }
        Ok(())
    }
}
