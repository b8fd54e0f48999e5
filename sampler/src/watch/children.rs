//! Goroutines that requests start: who is asked for which request it was started, how often, and what follows.

use std::collections::HashMap;

use fgspy_goroutines::request::{Child, Parentage};
use fgspy_profile::{RequestId, Serving};

use super::{Now, Watch};
use crate::aggregate::{Cell, CellId};
use crate::choose::Odds;
use crate::requests::Newcomer;
use crate::slots::Slot;

/// Goroutines that are asked at a tick.
const MAX_ASKED: usize = 128;
/// How often a goroutine is asked: it may run, or move, when it is.
const TRIES: u8 = 6;
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
struct Seeker {
    index: u32,
    parent: u64,
    /// The goroutine that takes requests, from which it comes.
    root: u64,
    tries: u8,
}

/// Goroutines of which it is not known for which request they were started.
#[derive(Debug, Default)]
pub(super) struct Children {
    /// Those that are still to be asked, by their numbers.
    seekers: HashMap<u64, Seeker>,
    /// Those first seen at this tick, by their numbers.
    arrivals: HashMap<u64, Arrival>,
    /// Of those that are not asked any more, from which goroutine that takes requests they come.
    unproven: HashMap<u64, u64>,
    asked: Vec<Child>,
}

impl Children {
    /// Bytes of memory that this takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.seekers.capacity() * size_of::<(u64, Seeker)>() + self.unproven.capacity() * 16
    }

    /// From which goroutine that takes requests this one comes, if that is known.
    fn root(&self, goid: u64) -> Option<u64> {
        self.seekers.get(&goid).map(|seeker| seeker.root).or_else(|| self.unproven.get(&goid).copied())
    }

    fn give_up(&mut self, goid: u64) {
        if let Some(seeker) = self.seekers.remove(&goid)
            && self.unproven.len() < MAX_UNPROVEN
        {
            self.unproven.insert(goid, seeker.root);
        }
    }
}

impl Watch {
    /// Gives those who were first seen at this tick to the requests for which they were started, where that is known. What is to
    /// be asked of the target is in [`Watch::asked`] then.
    pub(crate) fn adopt(&mut self, now: Now) {
        for arrival in std::mem::take(&mut self.newcomers) {
            let slots = &self.slots.all;
            let looked = |index: u32| slots.get(index as usize).map_or(0, |slot| slot.looked_ns);
            match self.requests.adopt(arrival.newcomer, now.now_ns, looked) {
                Some(request) => self.assign(arrival, request, now),
                None => self.seek(arrival),
            }
        }
        self.ask();
    }

    /// The goroutines of which it is to be found out for which request they were started.
    pub(crate) fn asked(&self) -> &[Child] {
        &self.children.asked
    }

    /// Takes what was found out of those that were asked.
    pub(crate) fn answered(&mut self, told: Vec<Parentage>, now: Now) {
        let asked = std::mem::take(&mut self.children.asked);
        for (child, parentage) in asked.iter().zip(told) {
            match parentage {
                Parentage::Of { request, serves_one, .. } => {
                    let tick = now.previous_ns..now.now_ns;
                    let parent = (child.parent_goid, child.parent);
                    let request = if serves_one {
                        self.requests.serves(parent, &request, true, tick)
                    } else {
                        self.requests.number(child.parent_goid, &request, false, tick)
                    };
                    request.into_iter().for_each(|request| self.belongs(child.goid, request, now));
                }
                Parentage::Contradiction | Parentage::Gone => self.children.give_up(child.goid),
                Parentage::Unproven => {}
            }
        }
        self.children.arrivals.clear();
    }

    /// Begins to ask for which request a goroutine was started, if it comes from one that takes requests.
    fn seek(&mut self, arrival: Arrival) {
        let Newcomer { goid, parent, .. } = arrival.newcomer;
        let root = self.requests.taker(parent).map(|_| parent).or_else(|| self.children.root(parent));
        let Some(root) = root.filter(|_| self.children.seekers.len() < MAX_SEEKERS) else { return };
        self.children.seekers.insert(goid, Seeker { index: arrival.index, parent, root, tries: 0 });
        self.children.arrivals.insert(goid, arrival);
    }

    /// Chooses whom to ask.
    fn ask(&mut self) {
        self.children.asked.clear();
        let mut over = Vec::new();
        for (&goid, seeker) in &mut self.children.seekers {
            let is_there = self.slots.all.get(seeker.index as usize).is_some_and(|slot| slot.goid == goid);
            let Some(parent) = self.requests.taker(seeker.root).filter(|_| is_there && seeker.tries < TRIES) else {
                over.push(goid);
                continue;
            };
            if self.children.asked.len() < MAX_ASKED {
                seeker.tries += 1;
                let is_direct = seeker.parent == seeker.root;
                let (index, parent_goid) = (seeker.index, seeker.root);
                self.children.asked.push(Child { index, goid, parent, parent_goid, is_direct });
            }
        }
        over.into_iter().for_each(|goid| self.children.give_up(goid));
    }

    /// A goroutine that was asked works for `request`, and so do those that it started.
    fn belongs(&mut self, goid: u64, request: RequestId, now: Now) {
        let mut proven = vec![goid];
        while let Some(goid) = proven.pop() {
            let Some(seeker) = self.children.seekers.remove(&goid) else { continue };
            match self.children.arrivals.remove(&goid) {
                Some(arrival) => {
                    self.requests.is_for(goid, request, false);
                    self.assign(arrival, request, now);
                }
                None => {
                    self.requests.is_for(goid, request, true);
                    self.put_for(seeker.index, goid, request);
                }
            }
            proven
                .extend(self.children.seekers.iter().filter(|(_, other)| other.parent == goid).map(|(goid, _)| *goid));
        }
    }

    /// Takes a goroutine that was first seen at this tick to have worked for `request` when it was.
    fn assign(&mut self, arrival: Arrival, request: RequestId, now: Now) {
        let Arrival { index, newcomer, odds, before } = arrival;
        let was = self.slot(index).cell;
        self.put_for(index, newcomer.goid, request);
        let is = self.slot(index).cell;
        if was == is {
            return;
        }
        // What was noted of the lot that found it is that it was found where it is not.
        let interval_ns = now.interval_ns() as f64;
        for (found, sign) in [(was, -1.0), (is, 1.0)] {
            if !self.aggregate.agree(before, found) {
                before.into_iter().for_each(|cell| self.corrections.note(odds, cell, -sign * interval_ns));
                found.into_iter().for_each(|cell| self.corrections.note(odds, cell, sign * interval_ns));
            }
        }
    }

    /// Puts a goroutine into the same cell for `request`.
    fn put_for(&mut self, index: u32, goid: u64, request: RequestId) {
        let slot = self.slot(index);
        let cell = slot.cell.filter(|_| slot.goid == goid).and_then(|cell| self.aggregate.at(cell));
        if let Some(cell) = cell.filter(|cell| !matches!(cell.serving, Serving::Request(_))) {
            let cell = self.aggregate.cell(Cell { serving: Serving::Request(request), ..cell });
            self.put(index, Slot { cell: Some(cell), ..slot });
        }
    }
}
