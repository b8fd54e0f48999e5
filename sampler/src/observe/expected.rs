//! What is remembered of goroutines that the scheduler has on its lists.

use std::collections::BTreeMap;

use crate::estimate::CellId;

/// Those that were at work at the last tick, and where they waited before, by the number of their g. It has as many as the
/// scheduler's lists.
///
/// Most goroutines that are found at work come from a wait and go back to the like: who is no longer on the scheduler's lists
/// is better taken to wait there than to be at work still. What it is taken to do is put right by lots, as ever; the nearer it
/// is to what it does, the surer are the sums.
#[derive(Debug, Default)]
pub(super) struct Expected(pub(super) BTreeMap<u32, Rest>);

#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    pub(super) goid: u64,
    /// Where it waited; `None` if it has not been seen to.
    pub(super) place: Option<Place>,
    /// The last tick at which it was on the scheduler's lists.
    pub(super) active: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Cell(CellId),
    /// It is one of the runtime's own, and does not count while it waits.
    Hidden,
}

impl Expected {
    /// Bytes of memory that this takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.0.len() * 2 * size_of::<(u32, Rest)>()
    }
}
