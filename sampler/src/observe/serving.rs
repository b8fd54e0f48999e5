//! For whom goroutines work: joins what is read of requests with what is known of goroutines.

use fgspy_goroutines::request::{Idle as ReadIdle, Served};
use fgspy_goroutines::{Observation, Runtime};
use fgspy_profile::{Idle, Serving};

use super::Observer;
use super::newcomers::Arrival;
use crate::choose::Odds;
use crate::estimate::{Cell, RawLabelsId};
use crate::observe::Slot;
use crate::requests::{Newcomer, Part, RawSpan};
use crate::tick::Now;

impl Observer {
    /// For which request a goroutine works, of which this much is `known` already.
    pub(super) fn serving(
        &mut self,
        runtime: &Runtime,
        (known, labels): (Slot, RawLabelsId),
        (now, odds): (Now, Odds),
        observation: &Observation<'_>,
    ) -> Serving {
        let (goid, index) = (observation.g.goid, observation.index);
        let of_heir = self.requests.of_heir(goid).map(Serving::Request);
        let job = self.jobs.as_mut().and_then(|jobs| jobs.of(runtime, labels, observation)).map(|job| job.identity);
        match observation.request {
            Served::Serving(request) => {
                self.requests.takes(goid, index);
                let (parent, tick) = (observation.g.parent_goid, now.previous_ns..now.now_ns);
                let id = self.requests.serves_once((goid, index), parent, request, observation.serves_one, tick);
                if let (Some(id), Some(job)) = (id, job) {
                    self.requests.is_labelled(goid, id, job);
                }
                id.map_or(Serving::Unknown, Serving::Request)
            }
            Served::Idle(idle) => {
                self.requests.rests(goid);
                if matches!(idle, ReadIdle::Connection | ReadIdle::Worker) {
                    self.requests.takes(goid, index);
                }
                if let (ReadIdle::Connection | ReadIdle::Worker, Some(job)) = (idle, job) {
                    self.requests.is_labelled_still(job);
                }
                Serving::Idle(idle_of(idle))
            }
            Served::Nothing => {
                // Before Go 1.21 nothing is said of the parent. One that is 0 is the runtime itself.
                let parent = match observation.g.parent_goid {
                    Some(0) => None,
                    parent => Some(parent.unwrap_or(0)),
                };
                if let (None, Some(parent)) = (of_heir, parent.filter(|_| known.goid != goid)) {
                    let absent_ns = Some(known.looked_ns).filter(|ns| *ns != 0);
                    let newcomer = Newcomer { goid, parent, absent_ns, seen_ns: now.now_ns };
                    self.newcomers.push(Arrival { index, newcomer, odds, before: known.cell });
                }
                if let (Some(Serving::Request(request)), Some(job)) = (of_heir, job) {
                    self.requests.is_no_job(goid, request, job);
                }
                of_heir.unwrap_or_else(|| self.working(runtime, labels, now, observation))
            }
            Served::NotAsked | Served::Torn | Served::Unknown(_) => {
                self.requests.rests(goid);
                if observation.serves_one {
                    self.requests.takes(goid, index);
                    self.requests.is_open(goid);
                }
                // What it was started for holds all its life.
                let of_life = || self.requests.of_life(goid).map(Serving::Request);
                of_heir.or_else(of_life).unwrap_or(Serving::Unknown)
            }
        }
    }

    /// On which job a goroutine works that serves no request and was started for none.
    fn working(&mut self, runtime: &Runtime, labels: RawLabelsId, now: Now, observation: &Observation<'_>) -> Serving {
        let (goid, index) = (observation.g.goid, observation.index);
        let Some(jobs) = &mut self.jobs else { return Serving::Nothing };
        match jobs.of(runtime, labels, observation).map(|job| (job, self.requests.part(job.identity))) {
            Some((_, Part::Of(request))) => {
                self.requests.rests(goid);
                Serving::Request(request)
            }
            Some((_, Part::OfOne)) => {
                self.requests.rests(goid);
                Serving::Unknown
            }
            Some((job, Part::OfNone)) => {
                let parent = observation.g.parent_goid.filter(|parent| *parent != 0);
                let id = self.requests.works_on((goid, index), parent, job, now.previous_ns..now.now_ns);
                id.map_or(Serving::Unknown, Serving::Request)
            }
            None => {
                if jobs.any {
                    self.requests.rests(goid);
                }
                Serving::Nothing
            }
        }
    }

    /// Draws the time that a goroutine spends in a cell into the time line of its request. Not what it is only taken to spend
    /// there, because it was not looked at since.
    pub(super) fn draw(&mut self, slot: Slot, until_ns: u64) {
        let Some(cell) = slot.cell.and_then(|cell| self.aggregate.at(cell)) else { return };
        let Cell { state, wait_reason, .. } = cell;
        let (from_ns, to_ns) = (slot.since_ns, slot.looked_ns.min(until_ns).max(slot.since_ns));
        let span = RawSpan { from_ns, to_ns, goid: slot.goid, state, wait_reason };
        match (cell.serving, self.requests.of_life(slot.goid)) {
            (Serving::Request(request), _) | (Serving::Unknown, Some(request)) => self.requests.span(request, span),
            (Serving::Unknown | Serving::Nothing, None) => self.requests.open_span(span),
            (Serving::Nothing | Serving::Idle(_), _) => {}
        }
    }
}

pub(super) fn idle_of(idle: ReadIdle) -> Idle {
    match idle {
        ReadIdle::Accepting => Idle::Accepting,
        ReadIdle::Connection => Idle::Connection,
        ReadIdle::Transport => Idle::Transport,
        ReadIdle::Worker => Idle::Worker,
    }
}
