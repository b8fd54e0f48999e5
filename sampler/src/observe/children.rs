//! Goroutines that requests start: who is asked for which request it was started, how often, and what follows.

use std::collections::HashSet;

use fgspy_goroutines::request::{Child, Kinship, Parent, Parentage};
use fgspy_profile::{RequestId, Serving};

use super::Observer;
use super::newcomers::{Arrival, Seeker};
use crate::estimate::{Cell, CellId, Samples};
use crate::observe::Slot;
use crate::requests::Newcomer;
use crate::tick::Now;

/// Goroutines that are asked at a tick.
const MAX_ASKED: usize = 128;
/// How often a goroutine is asked: it may run, or move, when it is.
const TRIES: u8 = 6;
/// The same of one whose parent is not known: most of these were started for no request.
const TRIES_OF_ORPHANS: u8 = 3;
/// Of so many g's at most it is looked up whether a parent is one.
const MAX_SEARCHED: usize = 1 << 15;
/// Fewer goroutines on average are not worth a remark.
const FEW: f64 = 0.05;

impl Observer {
    /// Gives those who were first seen at this tick to the requests for which they were started, where that is known. What is to
    /// be asked of the target is in [`Observer::asked`] then.
    pub(crate) fn adopt(&mut self, now: Now) {
        let mut arrivals = std::mem::take(&mut self.newcomers);
        // One that was started by another newcomer may have been read first.
        while !arrivals.is_empty() {
            let count = arrivals.len();
            arrivals.retain(|arrival| !self.place(*arrival, now));
            if arrivals.len() == count {
                break;
            }
        }
        self.seek_parents(arrivals);
        self.adopt_earlier(now);
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
                Parentage::Of { parent, request, serves_one, .. } => {
                    let tick = now.previous_ns..now.now_ns;
                    let request = if serves_one {
                        // A call of gRPC may be known as the request by which it came.
                        let server = (parent.goid, parent.index);
                        let known = self.requests.of_life(parent.goid);
                        known.or_else(|| self.requests.serves_once(server, None, &request, true, tick))
                    } else {
                        self.requests.number(parent.goid, &request, false, tick)
                    };
                    request.into_iter().for_each(|request| self.belongs(child.goid, request, now));
                }
                Parentage::Contradiction | Parentage::Gone => self.children.give_up(child.goid),
                Parentage::Unproven => {}
            }
        }
        self.children.arrivals.clear();
    }

    /// Gives a newcomer to the request for which it was started, or begins to ask for that, if it comes from one that takes
    /// requests. Says whether it does.
    fn place(&mut self, arrival: Arrival, now: Now) -> bool {
        let Newcomer { goid, parent, .. } = arrival.newcomer;
        let slots = &self.slots.all;
        let looked = |index: u32| slots.get(index as usize).map_or(0, |slot| slot.looked_ns);
        if let Some(request) = self.requests.adopt(arrival.newcomer, now.now_ns, looked) {
            self.assign(arrival, request, now);
            return true;
        }
        let root = self.requests.taker(parent).map(|_| parent).or_else(|| self.children.root(parent));
        if root.is_some() {
            self.children.seek(
                goid,
                Seeker { index: arrival.index, newcomer: arrival.newcomer, parent, root, tries: 0 },
                arrival,
            );
        }
        root.is_some()
    }

    /// Gives those who were first seen at an earlier tick to the request that their parent served before they were there, and still
    /// serves now.
    fn adopt_earlier(&mut self, now: Now) {
        let earlier: Vec<(u64, Newcomer)> = self
            .children
            .seekers
            .iter()
            .filter(|(_, seeker)| seeker.root == Some(seeker.parent) && seeker.newcomer.seen_ns < now.now_ns)
            .map(|(goid, seeker)| (*goid, seeker.newcomer))
            .collect();
        for (goid, newcomer) in earlier {
            let slots = &self.slots.all;
            let looked = |index: u32| slots.get(index as usize).map_or(0, |slot| slot.looked_ns);
            if let Some(request) = self.requests.adopt(newcomer, now.now_ns, looked) {
                self.belongs(goid, request, now);
            }
        }
    }

    /// Begins to ask for which request newcomers were started whose parents are gone or not known. One whose parent is there,
    /// and does not come from one that takes requests, was not started for any.
    fn seek_parents(&mut self, mut arrivals: Vec<Arrival>) {
        // Who may have been there before the recording began may have been started for anything.
        arrivals.retain(|arrival| arrival.newcomer.absent_ns.is_some());
        if arrivals.is_empty() || self.slots.all.len() > MAX_SEARCHED {
            return;
        }
        let there: HashSet<u64> = self.slots.all.iter().map(|slot| slot.goid).collect();
        for arrival in arrivals {
            let Newcomer { goid, parent, .. } = arrival.newcomer;
            if parent == 0 || !there.contains(&parent) {
                let tries = TRIES.saturating_sub(TRIES_OF_ORPHANS);
                self.children.seek(
                    goid,
                    Seeker { index: arrival.index, newcomer: arrival.newcomer, parent, root: None, tries },
                    arrival,
                );
            }
        }
    }

    /// Chooses whom to ask.
    fn ask(&mut self) {
        self.children.asked.clear();
        let mut over = Vec::new();
        for (&goid, seeker) in &mut self.children.seekers {
            let is_there = self.slots.all.get(seeker.index as usize).is_some_and(|slot| slot.goid == goid);
            let parent = seeker.root.map(|goid| self.requests.taker(goid).map(|index| (index, goid)));
            if !is_there || seeker.tries >= TRIES || parent == Some(None) {
                over.push(goid);
            } else if self.children.asked.len() < MAX_ASKED {
                seeker.tries += 1;
                let kinship = if Some(seeker.parent) == seeker.root { Kinship::Direct } else { Kinship::Distant };
                let parent = parent.flatten().map(|(index, goid)| Parent { index, goid, kinship });
                self.children.asked.push(Child { index: seeker.index, goid, parent, started_by: seeker.parent });
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
        let job = cell.and_then(|cell| self.requests.job(cell.serving.request()?));
        if let Some(job) = job {
            self.requests.is_no_job(goid, request, job);
        }
        if let Some(cell) = cell.filter(|cell| job.is_some() || !matches!(cell.serving, Serving::Request(_))) {
            let cell = self.aggregate.cell(Cell { serving: Serving::Request(request), ..cell });
            self.put(index, Slot { cell: Some(cell), ..slot });
        }
    }

    /// How many goroutines on average were started by requests that could not be identified, in words for the user; `None` if
    /// these are none to speak of.
    pub(super) fn remark_on_children(&self, samples: &Samples, end_ns: u64) -> Option<String> {
        let is_without = |cell: &CellId| {
            samples.at(*cell).is_some_and(|cell| matches!(cell.serving, Serving::Nothing | Serving::Unknown))
        };
        let times =
            samples.all.iter().filter(|(goid, cell, _)| self.children.is_unidentified(*goid) && is_without(cell));
        let ns: u64 = times.map(|(_, _, weight)| weight.time_ns).fold(0, u64::saturating_add);
        let mean = ns as f64 / end_ns.max(1) as f64;
        let text = "goroutines on average were started by requests that could not be identified; `fgspy trace` can identify them";
        (mean >= FEW).then(|| format!("requests: {mean:.1} {text}"))
    }
}
