//! Tells at which looks a request was there.

use fgspy_goroutines::Observation;
use fgspy_goroutines::request::Served;
use fgspy_profile::Serving;

use super::Observer;
use crate::observe::Slot;
use crate::requests::LookedAt;
use crate::tick::Now;

impl Observer {
    /// Takes note which request a goroutine itself serves at this look, after `known` was known of its g, and says whether that
    /// is known. `serving` is what its time counts for.
    pub(super) fn sighted(&mut self, known: Slot, serving: Serving, now: Now, observation: &Observation<'_>) -> bool {
        let (goid, index) = (observation.g.goid, observation.index);
        let request = match observation.request {
            Served::Serving(_) => serving.request(),
            Served::Idle(_) => None,
            // Who was started by a request does not serve it; who works on a job does.
            Served::Nothing => serving.request().filter(|_| self.requests.of_heir(goid).is_none()),
            Served::NotAsked | Served::Torn | Served::Unknown(_) => match self.requests.of_life(goid) {
                Some(request) => Some(request),
                None => return false,
            },
        };
        self.requests.sightings.looked((goid, index), request, looked_at(known, now));
        true
    }

    /// Takes note that the goroutine of which `known` was known is not there any more.
    pub(super) fn sighted_none(&mut self, known: Slot, now: Now) {
        self.requests.sightings.left(known.goid, looked_at(known, now));
    }
}

fn looked_at(known: Slot, now: Now) -> LookedAt {
    LookedAt { before_ns: Some(known.known_ns).filter(|ns| *ns != 0), over_ns: now.clock.now_ns() }
}
