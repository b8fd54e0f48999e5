//! What is remembered of goroutines of which it is not known for which request they were started.

use std::collections::HashMap;

use fgspy_goroutines::request::Child;

use crate::choose::Odds;
use crate::estimate::CellId;
use crate::requests::Newcomer;

/// Goroutines that are remembered because it is not known for which request they were started.
const MAX_SEEKERS: usize = 1 << 14;

const MAX_UNPROVEN: usize = 1 << 16;

/// A goroutine that was first seen at this tick, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) index: u32,
    pub(super) newcomer: Newcomer,
    pub(super) odds: Odds,
    /// Where its g was before.
    pub(super) before: Option<CellId>,
}

/// A goroutine of which it is not known for which request it was started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seeker {
    pub(super) index: u32,
    pub(super) newcomer: Newcomer,
    /// Who started it; 0 if that is not known.
    pub(super) parent: u64,
    /// The goroutine that takes requests, from which it comes, if that is known.
    pub(super) root: Option<u64>,
    pub(super) tries: u8,
}

/// Goroutines of which it is not known for which request they were started.
#[derive(Debug, Default)]
pub(super) struct Children {
    /// Those that are still to be asked, by their numbers.
    pub(super) seekers: HashMap<u64, Seeker>,
    /// Those first seen at this tick, by their numbers.
    pub(super) arrivals: HashMap<u64, Arrival>,
    /// Of those that are not asked any more, from which goroutine that takes requests they come, if that is known.
    pub(super) unproven: HashMap<u64, Option<u64>>,
    pub(super) asked: Vec<Child>,
}

impl Children {
    /// Bytes of memory that this takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.seekers.capacity() * size_of::<(u64, Seeker)>() + self.unproven.capacity() * 16
    }

    /// Whether a goroutine was started by a request that could not be identified.
    pub(super) fn is_unidentified(&self, goid: u64) -> bool {
        self.root(goid).is_some()
    }

    /// From which goroutine that takes requests this one comes, if that is known.
    pub(super) fn root(&self, goid: u64) -> Option<u64> {
        self.seekers.get(&goid).map(|seeker| seeker.root).or_else(|| self.unproven.get(&goid).copied()).flatten()
    }

    pub(super) fn seek(&mut self, goid: u64, seeker: Seeker, arrival: Arrival) {
        if self.seekers.len() < MAX_SEEKERS {
            self.seekers.insert(goid, seeker);
            self.arrivals.insert(goid, arrival);
        }
    }

    pub(super) fn give_up(&mut self, goid: u64) {
        if let Some(seeker) = self.seekers.remove(&goid)
            && self.unproven.len() < MAX_UNPROVEN
        {
            self.unproven.insert(goid, seeker.root);
        }
    }
}
