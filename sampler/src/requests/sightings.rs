//! At which looks each request was there, and at which it was not.
//!
//! These are times by the clock. Time is credited otherwise: a tick stands for the whole period before it, so that what was seen
//! at a tick that came late is credited with a long time, whatever it took.

use std::collections::HashMap;

use fgspy_profile::{RequestId, Sighting};

use crate::observe::Slot;

/// A look at a goroutine, in nanoseconds by the clock since the recording began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LookedAt {
    /// When it was last known which request the goroutine served, if any; `None` if that was never known.
    pub(crate) before_ns: Option<u64>,
    /// When this look was over.
    pub(crate) over_ns: u64,
}

/// What is known of one request.
#[derive(Clone, Copy, Debug)]
struct Entry {
    sighting: Sighting,
    /// How many goroutines serve it. Only of jobs there may be several.
    servers: u32,
    /// One of them, and the number of its g.
    server: (u64, u32),
}

/// The looks at all requests.
#[derive(Debug, Default)]
pub(crate) struct Sightings {
    /// By the number of the request; `None` for one that no goroutine was seen to serve.
    all: Vec<Option<Entry>>,
    /// What goroutines were last known to serve.
    servers: HashMap<u64, RequestId>,
}

impl Sightings {
    /// Takes note that goroutine `goid`, whose g has the number `index`, was looked at, and serves `request`, or none.
    pub(crate) fn looked(&mut self, (goid, index): (u64, u32), request: Option<RequestId>, look: LookedAt) {
        if self.servers.get(&goid).copied() == request {
            return;
        }
        self.left(goid, look);
        let Some(request) = request else { return };
        self.servers.insert(goid, request);
        if self.all.len() <= request.index() {
            self.all.resize(request.index() + 1, None);
        }
        let Some(entry) = self.all.get_mut(request.index()) else { return };
        let sighting =
            Sighting { absent_ns: look.before_ns, first_ns: look.over_ns, last_ns: look.over_ns, gone_ns: None };
        let entry = entry.get_or_insert(Entry { sighting, servers: 0, server: (goid, index) });
        entry.servers = entry.servers.saturating_add(1);
        entry.server = (goid, index);
        entry.sighting.gone_ns = None;
    }

    /// Takes note that goroutine `goid` was looked at, and does not serve what it served, or is not there any more.
    pub(crate) fn left(&mut self, goid: u64, look: LookedAt) {
        let Some(request) = self.servers.remove(&goid) else { return };
        let Some(Some(entry)) = self.all.get_mut(request.index()) else { return };
        entry.servers = entry.servers.saturating_sub(1);
        entry.sighting.last_ns = entry.sighting.last_ns.max(look.before_ns.unwrap_or(0));
        entry.sighting.gone_ns = Some(look.over_ns).filter(|_| entry.servers == 0);
    }

    /// The looks at a request; of one that is in progress, up to the last look at a goroutine that serves it.
    pub(crate) fn of(&self, request: RequestId, slots: &[Slot]) -> Option<Sighting> {
        let Entry { mut sighting, servers, server: (goid, index) } = (*self.all.get(request.index())?)?;
        let slot = slots.get(index as usize).filter(|slot| servers > 0 && slot.goid == goid);
        sighting.last_ns = sighting.last_ns.max(slot.map_or(0, |slot| slot.known_ns));
        Some(sighting)
    }

    /// About how many bytes of memory this takes.
    pub(crate) fn bytes(&self) -> usize {
        self.all.capacity() * size_of::<Option<Entry>>() + self.servers.capacity() * 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: RequestId = RequestId(0);
    const B: RequestId = RequestId(1);
    const CONNECTION: (u64, u32) = (7, 0);

    /// A look that was over at `over_ns`, after one that began at `before_ns`.
    fn look(before_ns: u64, over_ns: u64) -> LookedAt {
        LookedAt { before_ns: Some(before_ns), over_ns }
    }

    fn sighting(absent_ns: u64, first_ns: u64, last_ns: u64, gone_ns: Option<u64>) -> Option<Sighting> {
        Some(Sighting { absent_ns: Some(absent_ns), first_ns, last_ns, gone_ns })
    }

    /// A g that was last looked at at `known_ns`.
    fn slot(known_ns: u64) -> [Slot; 1] {
        [Slot { goid: CONNECTION.0, known_ns, ..Slot::default() }]
    }

    #[test]
    fn a_request_lasts_from_the_look_before_it_to_the_look_after_it() {
        let mut sightings = Sightings::default();
        sightings.looked(CONNECTION, Some(A), look(10, 21));
        sightings.looked(CONNECTION, Some(A), look(20, 31));
        assert_eq!(sightings.of(A, &slot(30)), sighting(10, 21, 30, None), "it is in progress");
        // At one look it is over, and the next one of the connection is there.
        sightings.looked(CONNECTION, Some(B), look(30, 41));
        assert_eq!(sightings.of(A, &slot(40)), sighting(10, 21, 30, Some(41)));
        assert_eq!(sightings.of(B, &slot(40)), sighting(30, 41, 41, None));
        sightings.looked(CONNECTION, None, look(40, 151));
        assert_eq!(sightings.of(B, &slot(150)), sighting(30, 41, 41, Some(151)));
        assert_eq!(sightings.of(RequestId(2), &slot(150)), None);
    }

    #[test]
    fn of_the_first_look_it_is_not_known_since_when() {
        let mut sightings = Sightings::default();
        sightings.looked(CONNECTION, Some(A), LookedAt { before_ns: None, over_ns: 1 });
        sightings.left(CONNECTION.0, look(20, 31));
        let expected = Sighting { absent_ns: None, first_ns: 1, last_ns: 20, gone_ns: Some(31) };
        assert_eq!(sightings.of(A, &[]), Some(expected));
        sightings.left(CONNECTION.0, look(40, 51));
        assert_eq!(sightings.of(A, &[]), Some(expected), "it had left before");
    }

    #[test]
    fn a_job_of_many_lasts_until_the_last_one_leaves() {
        let mut sightings = Sightings::default();
        sightings.looked((7, 0), Some(A), look(10, 21));
        sightings.looked((8, 1), Some(A), look(20, 31));
        sightings.left(7, look(30, 41));
        assert_eq!(sightings.of(A, &[]), sighting(10, 21, 30, None));
        sightings.left(8, look(50, 61));
        assert_eq!(sightings.of(A, &[]), sighting(10, 21, 50, Some(61)));
    }
}
