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
use crate::{NewRequest, Profile, Request, RequestId, Sample, SampleKey, StringId};

/// Time of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestBreakdown {
    /// Which.
    pub id: RequestId,
    /// From when it was first seen until its goroutine was last seen to serve it, in nanoseconds; a tick more or less, as
    /// the beginning and the end fell between ticks.
    pub duration_ns: u64,
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
    /// The sum of their durations, in nanoseconds.
    pub duration_ns: u64,
    /// The longest of them, in nanoseconds.
    pub longest_ns: u64,
    /// The most ticks that one was seen at.
    pub most_observations: u64,
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
            duration_ns: 0,
            began_before: false,
            goes_on: false,
            observations: 0,
            own_ns: [0; Phase::COUNT],
            children: 0,
            children_ns: [0; Phase::COUNT],
        };
        let mut times: Vec<RequestBreakdown> = (0..self.requests.len()).map(new).collect();
        for ((id, goid), stay) in self.stays() {
            let (Some(time), Some(request)) = (times.get_mut(id.index()), self.request(id)) else { continue };
            let sums = if serves(request, goid) {
                time.observations = time.observations.saturating_add(stay.observations);
                &mut time.own_ns
            } else {
                time.children += 1;
                &mut time.children_ns
            };
            sums.iter_mut().zip(stay.by_phase).for_each(|(sum, part)| *sum = sum.saturating_add(part));
        }
        for (time, request) in times.iter_mut().zip(&self.requests) {
            let served_ns = time.own_ns.iter().fold(0u64, |sum, part| sum.saturating_add(*part));
            let until_ns = served_until(request, served_ns);
            time.duration_ns = until_ns.saturating_sub(request.first_ns);
            time.began_before = request.first_ns == 0;
            time.goes_on = until_ns >= self.duration_ns;
        }
        times
    }

    /// The time of each route that has requests, in the order in which they were first seen. `requests` is what
    /// [`Profile::request_breakdowns`] gives.
    pub fn route_breakdowns(&self, requests: &[RequestBreakdown]) -> Vec<RouteBreakdown> {
        let mut routes: IndexMap<StringId, (RouteBreakdown, Sums, Sums), RandomState> = IndexMap::default();
        for (request, time) in self.requests.iter().zip(requests) {
            let (of_route, ..) = routes
                .entry(request.route)
                .or_insert_with(|| (new_route(request.route), Sums::default(), Sums::default()));
            of_route.add(time);
        }
        for ((id, goid), stay) in self.stays() {
            let Some(request) = self.request(id) else { continue };
            let Some((_, own, children)) = routes.get_mut(&request.route) else { continue };
            if serves(request, goid) { own } else { children }.add_stay(stay);
        }
        let mut serving: HashMap<SampleKey, bool, RandomState> = HashMap::default();
        for (id, sample) in self.samples_of_requests() {
            let Some(request) = self.request(id) else { continue };
            let Some((_, own, children)) = routes.get_mut(&request.route) else { continue };
            let serves = serves(request, sample.goid);
            serving.insert(SampleKey { goid: 0, ..sample.key() }, serves);
            let sums = if serves { own } else { children };
            sums.add_place(sample.stack, Phase::of(sample.class(self)), sample.time_ns);
        }
        // Times by replicate are of goroutines that agree in all but their number. Whether these serve requests themselves is
        // known from any of them: who was started by a request's goroutine was started elsewhere than that.
        for part in &self.replicates.parts {
            let Some(&serves) = serving.get(&part.key) else { continue };
            let Some(request) = part.key.serving.request().and_then(|id| self.request(id)) else { continue };
            let Some((_, own, children)) = routes.get_mut(&request.route) else { continue };
            let sums = if serves { own } else { children };
            sums.add_replicates(Phase::of(part.sample().class(self)), &part.time_ns);
        }
        let (ticks, duration_ns) = (self.accounting.ticks, &self.replicates.duration_ns);
        let finished = routes.into_values().map(|(route, own, children)| RouteBreakdown {
            own: own.finish(ticks, duration_ns),
            children: children.finish(ticks, duration_ns),
            ..route
        });
        finished.collect()
    }

    fn samples_of_requests(&self) -> impl Iterator<Item = (RequestId, &Sample)> {
        self.samples.iter().filter_map(|sample| sample.serving.request().map(|id| (id, sample)))
    }

    /// What each goroutine did for each request.
    fn stays(&self) -> HashMap<(RequestId, u64), Stay, RandomState> {
        let mut stays: HashMap<(RequestId, u64), Stay, RandomState> = HashMap::default();
        for (id, sample) in self.samples_of_requests() {
            stays.entry((id, sample.goid)).or_default().add(sample, Phase::of(sample.class(self)));
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
        duration_ns: 0,
        longest_ns: 0,
        most_observations: 0,
        own: none.clone(),
        children: none,
    }
}

impl RouteBreakdown {
    fn add(&mut self, request: &RequestBreakdown) {
        self.seen += 1;
        self.seen_once += u64::from(request.observations <= 1);
        self.began_before += u64::from(request.began_before);
        self.in_progress += u64::from(request.goes_on);
        self.whole += u64::from(!request.began_before && !request.goes_on);
        self.duration_ns = self.duration_ns.saturating_add(request.duration_ns);
        self.longest_ns = self.longest_ns.max(request.duration_ns);
        self.most_observations = self.most_observations.max(request.observations);
    }
}

#[cfg(test)]
mod tests;
