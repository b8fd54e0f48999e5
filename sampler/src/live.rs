//! What is known of requests while they are being recorded.

use fgspy_goroutines::Runtime;
use fgspy_profile::{Class, RequestId, Sighting};

use crate::observe::Observer;
use crate::requests::Seen;

/// A view of a recording that goes on, for those who show it.
pub struct Live<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) observer: &'a Observer,
    pub(crate) now_ns: u64,
    pub(crate) ticks: u32,
}

/// Time of one request in one class, so far.
#[derive(Clone, Copy, Debug)]
pub struct LiveTime<'a> {
    /// Its number, the same throughout the recording.
    pub number: u32,
    /// The request.
    pub seen: &'a Seen,
    /// What its goroutines did.
    pub class: Class,
    /// For how long, in nanoseconds; without what is corrected at the end for goroutines that are read by lot.
    pub time_ns: u64,
    /// Somebody does so now.
    pub is_now: bool,
}

impl Live<'_> {
    /// Requests that were seen so far.
    pub fn requests(&self) -> usize {
        self.observer.requests.len()
    }

    /// The looks at a request, by its number. One that was in progress at the last look has no end.
    pub fn sighting(&self, number: u32) -> Option<Sighting> {
        self.observer.requests.sightings.of(RequestId(number), &self.observer.slots.all)
    }

    /// Hands over what is known of each request; of one request in many pieces. It takes time for each piece that differs
    /// and for each goroutine: do it about once a second.
    pub fn times(&self, sink: &mut dyn FnMut(LiveTime<'_>)) {
        let Observer { aggregate, requests, slots, .. } = self.observer;
        let mut give = |cell, time_ns, is_now| {
            let Some(cell) = aggregate.at(cell) else { return };
            let Some(id) = cell.serving.request().and_then(|id| requests.whole(id)) else { return };
            let Some(seen) = requests.get(id) else { return };
            let reason = cell.wait_reason.map_or("", |reason| self.runtime.wait_reason(reason));
            sink(LiveTime { number: id.0, seen, class: Class::of(cell.state, reason), time_ns, is_now });
        };
        aggregate.times().for_each(|(cell, time_ns)| give(cell, time_ns, false));
        let standing = slots.all.iter().filter_map(|slot| slot.due(self.now_ns, self.ticks));
        standing.for_each(|(_, cell, weight)| give(cell, weight.time_ns, true));
    }
}
