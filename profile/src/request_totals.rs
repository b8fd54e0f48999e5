//! Sums over the requests of a profile: of each request, and of each route.
//!
//! The time of the goroutine that serves a request is the request's own: what it is made of says why the request takes
//! so long. What goroutines do that it started goes on meanwhile, and is kept apart: ten of them that wait do not make the
//! request ten times as slow.

mod breakdown;
mod phase;

use std::collections::HashMap;

use foldhash::fast::RandomState;
use indexmap::IndexMap;

pub use breakdown::{Breakdown, PhaseTime, StackTime};
use breakdown::{Stay, Sums};
pub use phase::Phase;

use crate::route::route;
use crate::{Bounds, Known, Length, NewRequest, Profile, Request, RequestId, Sample, SampleKey, StackId, StringId};

/// Time of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestBreakdown {
    /// Which.
    pub id: RequestId,
    /// How long it took.
    pub length: Length,
    /// Until when time is credited to the goroutine that serves it, in nanoseconds since the recording began.
    pub served_until_ns: u64,
    /// It may have begun before the recording.
    pub began_before: bool,
    /// It was in progress when the recording ended.
    pub goes_on: bool,
    /// At how many ticks its goroutine was seen to serve it.
    pub observations: u64,
    /// Nanoseconds of its goroutine by phase, in the order of [`Phase::ALL`].
    pub own_ns: [u64; Phase::COUNT],
    /// How many goroutines it was seen to have started, and those these started.
    pub children: u64,
    /// Nanoseconds of those by phase, in the order of [`Phase::ALL`]. They may outlive the request.
    pub children_ns: [u64; Phase::COUNT],
}

/// Time of all requests of one route.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteBreakdown {
    /// [`Request::route`].
    pub route: StringId,
    /// How many requests were seen. Of those shorter than a tick only some are: it is not the number of requests served.
    pub seen: u64,
    /// Of those seen, how many were seen at one tick only: there may have been more like them.
    pub seen_once: u64,
    /// How many may have begun before the recording.
    pub began_before: u64,
    /// How many were in progress when it ended.
    pub in_progress: u64,
    /// How many of those seen began and ended while it lasted.
    pub whole: u64,
    /// Of how many the duration is only known to be no less than something.
    pub at_least: u64,
    /// The sum of their durations, as far as these are known, in nanoseconds. A request that was seen at one look counts for
    /// one tick: if the program serves many that are shorter, the mean of those seen is an upper bound of the mean of all.
    pub duration_ns: u64,
    /// The longest of them, as far as that is known.
    pub longest: Length,
    /// Time of the goroutines that serve them.
    pub own: Breakdown,
    /// Time of the goroutines that those started.
    pub children: Breakdown,
}

impl RouteBreakdown {
    /// How many were in progress on average, in a recording of that many nanoseconds.
    pub fn in_flight(&self, duration_ns: u64) -> f64 {
        if duration_ns == 0 { 0.0 } else { self.own.time_ns as f64 / duration_ns as f64 }
    }
}

impl Profile {
    /// The time of each request, in the order of [`Profile::requests`].
    pub fn request_breakdowns(&self) -> Vec<RequestBreakdown> {
        let new = |index: usize| RequestBreakdown {
            id: RequestId(index as u32),
            length: Length::ZERO,
            served_until_ns: 0,
            began_before: false,
            goes_on: false,
            observations: 0,
            own_ns: [0; Phase::COUNT],
            children: 0,
            children_ns: [0; Phase::COUNT],
        };
        let mut times: Vec<RequestBreakdown> = (0..self.requests.len()).map(new).collect();
        for ((id, goid), stay) in self.stays(&mut |stack| stack) {
            let (Some(time), Some(request)) = (times.get_mut(id.index()), self.request(id)) else { continue };
            let sums = if serves(request, goid) {
                time.observations = time.observations.saturating_add(stay.observations);
                &mut time.own_ns
            } else {
                time.children += 1;
                &mut time.children_ns
            };
            sums.iter_mut().zip(stay.by_phase()).for_each(|(sum, part)| *sum = sum.saturating_add(part));
        }
        let tick_ns = self.tick_ns();
        for (time, request) in times.iter_mut().zip(&self.requests) {
            let served_ns = time.own_ns.iter().fold(0u64, |sum, part| sum.saturating_add(*part));
            time.served_until_ns = served_until(request, served_ns);
            let bounds = match request.sighting {
                Some(sighting) => {
                    time.began_before = sighting.absent_ns.is_none();
                    time.goes_on = sighting.gone_ns.is_none();
                    sighting.bounds()
                }
                None => {
                    time.began_before = request.first_ns == 0;
                    time.goes_on = time.served_until_ns >= self.duration_ns;
                    self.bounds_of_old(request, time)
                }
            };
            time.length = Length::new(bounds, tick_ns);
        }
        times
    }

    /// The period of the ticks, in nanoseconds: as it was asked for. (Where ticks came late, their mean distance is greater.)
    pub fn tick_ns(&self) -> u64 {
        let rate_hz = self.accounting.rate_hz;
        if rate_hz > 0.0 { (1e9 / rate_hz) as u64 } else { self.duration_ns / self.accounting.ticks.max(1) }
    }

    /// The bounds of a request's duration where the recording does not have them: a tick more or less than the time that was
    /// credited to it. It says nothing of ticks that came late.
    fn bounds_of_old(&self, request: &Request, time: &RequestBreakdown) -> Bounds {
        let tick_ns = self.duration_ns / self.accounting.ticks.max(1);
        let credited_ns = time.served_until_ns.saturating_sub(request.first_ns);
        // Of one that only those were seen of whom it started, nothing is known.
        let is_whole = !time.began_before && !time.goes_on && time.observations > 0;
        Bounds {
            at_least_ns: if time.observations <= 1 { 0 } else { credited_ns.saturating_sub(tick_ns) },
            at_most_ns: is_whole.then(|| credited_ns.saturating_add(tick_ns)),
        }
    }

    /// The time of each route that has requests, in the order in which they were first seen. `requests` is what
    /// [`Profile::request_breakdowns`] gives.
    pub fn route_breakdowns(&self, requests: &[RequestBreakdown]) -> Vec<RouteBreakdown> {
        self.route_breakdowns_by(requests, &mut |stack| stack)
    }

    /// The same, with stacks that are one place to the reader added up: `place` gives the stack that stands for them all.
    pub fn route_breakdowns_by(
        &self,
        requests: &[RequestBreakdown],
        place: &mut dyn FnMut(StackId) -> StackId,
    ) -> Vec<RouteBreakdown> {
        let (tick_ns, ticks) = (self.tick_ns(), self.accounting.ticks);
        let mut routes: IndexMap<StringId, (RouteBreakdown, Sums, Sums), RandomState> = IndexMap::default();
        for (request, time) in self.requests.iter().zip(requests) {
            let (of_route, ..) = routes
                .entry(request.route)
                .or_insert_with(|| (new_route(request.route), Sums::new(ticks), Sums::new(ticks)));
            of_route.add(time, tick_ns);
        }
        for ((id, goid), stay) in self.stays(place) {
            let Some(request) = self.request(id) else { continue };
            let Some((_, own, children)) = routes.get_mut(&request.route) else { continue };
            if serves(request, goid) { own } else { children }.add_stay(stay);
        }
        // Times by replicate are of goroutines that agree in all but their number. Whether these serve requests themselves is
        // known from any of them: who was started by a request's goroutine was started elsewhere than that.
        let mut serving: HashMap<SampleKey, bool, RandomState> = HashMap::default();
        for (id, sample) in self.samples_of_requests() {
            let Some(request) = self.request(id) else { continue };
            serving.insert(SampleKey { goid: 0, ..sample.key() }, serves(request, sample.goid));
        }
        for part in &self.replicates.parts {
            let Some(&serves) = serving.get(&part.key) else { continue };
            let Some(request) = part.key.serving.request().and_then(|id| self.request(id)) else { continue };
            let Some((_, own, children)) = routes.get_mut(&request.route) else { continue };
            let sums = if serves { own } else { children };
            sums.add_replicates((place(part.key.stack), Phase::of(part.sample().class(self))), &part.time_ns);
        }
        let (duration_ns, own_cpu) = (&self.replicates.duration_ns, self.own_cpu_share());
        let finished = routes.into_values().map(|(route, own, children)| RouteBreakdown {
            own: own.finish(duration_ns, own_cpu),
            children: children.finish(duration_ns, own_cpu),
            ..route
        });
        finished.collect()
    }

    fn samples_of_requests(&self) -> impl Iterator<Item = (RequestId, &Sample)> {
        self.samples.iter().filter_map(|sample| sample.serving.request().map(|id| (id, sample)))
    }

    /// What each goroutine did for each request, and at which place.
    fn stays(&self, place: &mut dyn FnMut(StackId) -> StackId) -> HashMap<(RequestId, u64), Stay, RandomState> {
        let mut stays: HashMap<(RequestId, u64), Stay, RandomState> = HashMap::default();
        for (id, sample) in self.samples_of_requests() {
            let doing = (place(sample.stack), Phase::of(sample.class(self)));
            stays.entry((id, sample.goid)).or_default().add(sample, doing);
        }
        stays
    }
}

impl NewRequest<'_> {
    /// The route that [`crate::Builder::request`] would give it.
    pub fn route(&self) -> String {
        route(self.protocol, self.method, self.path, self.pattern)
    }
}

/// Whether a goroutine serves the request itself. Where goroutines are not kept apart (they have no number), all do.
fn serves(request: &Request, goid: u64) -> bool {
    goid == request.goid || goid == 0
}

/// Until when a request was served, as its goroutine's time line says. That may be missing or cut: it was served for as long
/// as its goroutine was seen to, but not longer than anybody worked for it.
fn served_until(request: &Request, served_ns: u64) -> u64 {
    let drawn = request.spans.iter().filter(|span| span.goid == request.goid).map(|span| span.to_ns).max();
    let seen = request.first_ns.saturating_add(served_ns).min(request.last_ns);
    drawn.unwrap_or(0).max(seen)
}

fn new_route(route: StringId) -> RouteBreakdown {
    let none = Breakdown::default();
    RouteBreakdown {
        route,
        seen: 0,
        seen_once: 0,
        began_before: 0,
        in_progress: 0,
        whole: 0,
        at_least: 0,
        duration_ns: 0,
        longest: Length::ZERO,
        own: none.clone(),
        children: none,
    }
}

impl RouteBreakdown {
    fn add(&mut self, request: &RequestBreakdown, tick_ns: u64) {
        self.seen += 1;
        self.seen_once += u64::from(request.observations <= 1);
        self.began_before += u64::from(request.began_before);
        self.in_progress += u64::from(request.goes_on);
        self.whole += u64::from(!request.began_before && !request.goes_on);
        self.at_least += u64::from(request.length.known == Known::AtLeast);
        self.duration_ns = self.duration_ns.saturating_add(request.length.for_mean_ns(tick_ns));
        if request.length.rank() > self.longest.rank() {
            self.longest = request.length;
        }
    }
}

#[cfg(test)]
mod tests;
