//! Which request a goroutine's time belongs to.
//!
//! What a goroutine itself serves is read from its stack (`fgspy_goroutines::request`). Here it is remembered, and handed
//! down: a goroutine that was started by one that serves a request works for that request, and so do those that it starts
//! (`g.parentGoid`, Go 1.21 on).

mod once;
mod sightings;

use std::collections::HashMap;
use std::ops::Range;

use fgspy_goroutines::request::{Identity, Protocol, Request};
use fgspy_profile::{NewRequest, Patterns, RequestId, Serving, Sighting, State};
use indexmap::{IndexMap, IndexSet};

use crate::estimate::{Hasher, RouteId, Whose};
use crate::observe::Slot;
use once::Owners;
pub(crate) use once::Part;
pub(crate) use sightings::{LookedAt, Sightings};

/// The most requests that are kept. Of more, only the fact is known that there were more.
const MAX_REQUESTS: usize = 1 << 20;
/// Pieces of time lines kept of one request.
const MAX_SPANS: usize = 1024;
/// Pieces of time lines kept of all requests: those of the shortest requests are given up first.
const MAX_ALL_SPANS: usize = 1 << 18;
/// Goroutines remembered that work, or worked, for a request they did not take themselves.
const MAX_HEIRS: usize = 1 << 16;

/// One request, as far as it was seen.
#[derive(Debug)]
pub struct Seen {
    /// What it is.
    pub request: Request,
    /// The goroutine that was first seen to serve it.
    pub goid: u64,
    /// From when to when time is credited to it, in nanoseconds of the recording.
    pub first_ns: u64,
    /// See `first_ns`.
    pub last_ns: u64,
    /// What its goroutines did.
    pub spans: Vec<RawSpan>,
    /// That goroutine serves nothing else in all its life.
    pub serves_one: bool,
    /// Who started that goroutine, where that matters: of those who work on a job, the first one is looked for.
    started_by: Option<u64>,
    /// Its route, if somebody asked for it since it changed.
    pub(crate) route: Option<RouteId>,
}

impl Seen {
    /// What a profile will call its route.
    fn route(&self) -> String {
        route_of(&self.request, self.goid)
    }
}

/// What a profile will call the route of a request that goroutine `goid` serves.
fn route_of(request: &Request, goid: u64) -> String {
    let text = |text: &Option<String>| text.as_deref().unwrap_or("").to_owned();
    let new = NewRequest {
        protocol: protocol_of(request.protocol),
        method: &text(&request.method),
        path: &text(&request.path),
        pattern: &text(&request.route),
        trace_id: "",
        span_id: "",
        request_id: "",
        goid,
        first_ns: 0,
        last_ns: 0,
        sighting: None,
        spans: Vec::new(),
    };
    new.route()
}

/// A piece of a time line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawSpan {
    /// From when to when, in nanoseconds of the recording.
    pub from_ns: u64,
    /// See `from_ns`.
    pub to_ns: u64,
    /// Which goroutine.
    pub goid: u64,
    /// What it did.
    pub state: State,
    /// What it waited for, if it did.
    pub wait_reason: Option<u8>,
}

/// A goroutine that serves a request which it took itself.
#[derive(Clone, Copy, Debug)]
struct Server {
    /// The number of its g.
    index: u32,
    request: RequestId,
    /// When it was first seen to serve this one.
    since_ns: u64,
    /// It serves nothing else in all its life.
    serves_one: bool,
}

/// A goroutine that serves one request in its life, and it is not known yet which.
#[derive(Debug, Default)]
struct Open {
    /// What it and those it started did so far.
    spans: Vec<RawSpan>,
    /// Whom it started, and these.
    heirs: Vec<u64>,
}

/// A goroutine that serves nothing itself and was not there before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Newcomer {
    pub(crate) goid: u64,
    /// Who started it.
    pub(crate) parent: u64,
    /// When it is last known not to have existed. `None` if it may have existed all the time.
    pub(crate) absent_ns: Option<u64>,
    /// When it was first seen.
    pub(crate) seen_ns: u64,
}

/// All requests seen so far, and who works for which.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    seen: IndexMap<Identity, Seen, Hasher>,
    pub(crate) sightings: Sightings,
    servers: HashMap<u64, Server>,
    heirs: HashMap<u64, RequestId>,
    open: HashMap<u64, Open>,
    /// By whom those were started, directly or not, who wait for it to be known what that one serves.
    waiting: HashMap<u64, u64>,
    /// Those who have waited.
    late: HashMap<u64, RequestId>,
    /// Goroutines that take requests, whether they serve one now or not, and the numbers of their g's.
    takers: HashMap<u64, u32>,
    /// The last call of gRPC that was served by a goroutine of this one's.
    calls: HashMap<u64, RequestId>,
    owners: Owners,
    routes: IndexSet<String, Hasher>,
    spans: usize,
    bytes: usize,
}

impl Requests {
    /// Takes note that goroutine `goid`, whose g has the number `index`, is seen to serve `request` at the end of a
    /// tick. `None` when there are too many requests.
    pub(crate) fn serves(
        &mut self,
        (goid, index): (u64, u32),
        request: &Request,
        serves_one: bool,
        tick: Range<u64>,
    ) -> Option<RequestId> {
        let request = self.number(goid, request, serves_one, tick.clone())?;
        let new = Server { index, request, since_ns: tick.end, serves_one };
        let server = self.servers.entry(goid).or_insert(new);
        if server.request != request {
            *server = new;
        }
        if let Some(open) = self.open.remove(&goid) {
            self.close(open, request);
        }
        Some(request)
    }

    /// Takes note that goroutine `goid`, which was started by `parent`, is seen to work on `job`. Who works on a job has the same
    /// labels as those whom it starts: the job is that one's who was not started for it.
    pub(crate) fn works_on(
        &mut self,
        (goid, index): (u64, u32),
        parent: Option<u64>,
        job: &Request,
        tick: Range<u64>,
    ) -> Option<RequestId> {
        let id = self.serves((goid, index), job, false, tick)?;
        let (_, seen) = self.seen.get_index_mut(id.index())?;
        let has_started = seen.started_by.map_or(goid < seen.goid, |parent| parent == goid);
        if seen.goid == goid {
            seen.started_by = parent;
        } else if has_started {
            (seen.goid, seen.started_by, seen.route) = (goid, parent, None);
            seen.request.path.clone_from(&job.path);
        }
        Some(id)
    }

    /// Takes note that goroutine `goid`, whose g has the number `index`, is one that takes requests.
    pub(crate) fn takes(&mut self, goid: u64, index: u32) {
        if self.takers.len() < MAX_HEIRS {
            self.takers.insert(goid, index);
        }
    }

    /// The number of the g of goroutine `goid`, if that is one that takes requests.
    pub(crate) fn taker(&self, goid: u64) -> Option<u32> {
        self.takers.get(&goid).copied()
    }

    /// Takes note that goroutine `goid` was started for `request`, and works for it all its life. `late` says that it may have
    /// been seen before that was known.
    pub(crate) fn is_for(&mut self, goid: u64, request: RequestId, late: bool) {
        self.heirs.insert(goid, request);
        if late && self.late.len() < MAX_HEIRS {
            self.late.insert(goid, request);
        }
    }

    /// The number of `request`, which goroutine `goid` was seen to serve at some time of a tick outside the order in which
    /// goroutines are read. `None` when there are too many requests.
    pub(crate) fn number(
        &mut self,
        goid: u64,
        request: &Request,
        serves_one: bool,
        tick: Range<u64>,
    ) -> Option<RequestId> {
        let number = match self.seen.get_index_of(&request.identity) {
            Some(number) => number,
            None if self.seen.len() >= MAX_REQUESTS => return None,
            None => {
                self.bytes += 2 * size_of::<Seen>() + text_bytes(request);
                let (first_ns, last_ns) = (tick.start, tick.start);
                let spans = Vec::new();
                let seen = Seen {
                    request: request.clone(),
                    goid,
                    first_ns,
                    last_ns,
                    spans,
                    serves_one,
                    started_by: None,
                    route: None,
                };
                self.seen.insert_full(request.identity, seen).0
            }
        };
        // The route is known once the multiplexer has found it: then it counts for all of the request.
        if let Some((_, seen)) = self.seen.get_index_mut(number)
            && seen.request.route.is_none()
            && request.route.is_some()
        {
            seen.request.route.clone_from(&request.route);
            seen.route = None;
        }
        Some(RequestId(number as u32))
    }

    /// Takes note that goroutine `goid` serves nothing, or that it is unknown what.
    pub(crate) fn rests(&mut self, goid: u64) {
        if self.of_life(goid).is_none() {
            self.servers.remove(&goid);
        }
    }

    /// Takes note that goroutine `goid` serves one request in its life, and that it is unknown which.
    pub(crate) fn is_open(&mut self, goid: u64) {
        if self.open.len() < MAX_HEIRS && self.of_life(goid).is_none() {
            self.open.entry(goid).or_default();
        }
    }

    /// The one request that goroutine `goid` serves in its life, if that is known.
    pub(crate) fn of_life(&self, goid: u64) -> Option<RequestId> {
        self.servers.get(&goid).filter(|server| server.serves_one).map(|server| server.request)
    }

    /// It is known now which request it is.
    fn close(&mut self, open: Open, request: RequestId) {
        self.spans -= open.spans.len();
        open.spans.into_iter().for_each(|span| self.span(request, span));
        for heir in open.heirs {
            self.waiting.remove(&heir);
            self.heirs.insert(heir, request);
            if self.late.len() < MAX_HEIRS {
                self.late.insert(heir, request);
            }
        }
    }

    /// Takes note that a goroutine has ended. What it started goes on, and may start more.
    pub(crate) fn ended(&mut self, goid: u64) {
        self.servers.remove(&goid);
        self.takers.remove(&goid);
        self.calls.remove(&goid);
        if let Some(open) = self.open.remove(&goid) {
            self.spans -= open.spans.len();
            for heir in open.heirs {
                self.waiting.remove(&heir);
            }
        }
        if self.heirs.len() > MAX_HEIRS {
            // Those who are there still are found again by who started them, if that one serves still.
            self.heirs.clear();
        }
    }

    /// The request that goroutine `goid`, which took none itself, works for.
    pub(crate) fn of_heir(&self, goid: u64) -> Option<RequestId> {
        self.heirs.get(&goid).copied()
    }

    /// Finds out which request a goroutine was started for, once all that happened at the tick is known. `looked_ns` says
    /// when a g was last looked at.
    ///
    /// One that was started by somebody who works for a request works for that too. Who takes requests himself may have
    /// started it for an earlier one, even for one that came and went between two ticks. So it is only said where he was seen to
    /// serve this one at a tick *before* that at which it was not there yet, and at one *after* that at which it was first seen:
    /// within one tick either may be read first, and be started, and the next request begin, before the other is. A goroutine of HTTP/2 serves only one request in all its life; while it is
    /// not known which, those that it starts wait.
    pub(crate) fn adopt(
        &mut self,
        newcomer: Newcomer,
        now_ns: u64,
        looked_ns: impl Fn(u32) -> u64,
    ) -> Option<RequestId> {
        let Newcomer { goid, parent, absent_ns, seen_ns } = newcomer;
        let of_server = || {
            let Server { index, request, since_ns, serves_one } = *self.servers.get(&parent)?;
            let served_this = absent_ns.is_some_and(|absent_ns| absent_ns > since_ns);
            let serves_it_still = now_ns > seen_ns && looked_ns(index) == now_ns;
            Some(request).filter(|_| serves_one || (served_this && serves_it_still))
        };
        let root = self.waiting.get(&parent).copied().unwrap_or(parent);
        if let Some(open) = self.open.get_mut(&root) {
            open.heirs.push(goid);
            self.waiting.insert(goid, root);
            return None;
        }
        let request = self.of_heir(parent).or_else(of_server)?;
        self.heirs.insert(goid, request);
        Some(request)
    }

    /// Keeps a piece of the time line of a goroutine whose request may be known later.
    pub(crate) fn open_span(&mut self, span: RawSpan) {
        let root = self.waiting.get(&span.goid).copied().unwrap_or(span.goid);
        if let Some(open) = self.open.get_mut(&root).filter(|open| open.spans.len() < MAX_SPANS) {
            open.spans.push(span);
            self.spans += 1;
        }
    }

    /// Adds a piece to the time line of a request.
    pub(crate) fn span(&mut self, id: RequestId, span: RawSpan) {
        let Some((_, seen)) = self.seen.get_index_mut(id.index()) else { return };
        seen.first_ns = seen.first_ns.min(span.from_ns);
        seen.last_ns = seen.last_ns.max(span.to_ns);
        if seen.spans.len() < MAX_SPANS {
            seen.spans.push(span);
            self.spans += 1;
        }
        if self.spans > MAX_ALL_SPANS {
            self.shorten();
        }
    }

    /// Gives up the time lines of the shorter half of the requests that have one.
    fn shorten(&mut self) {
        let length = |seen: &Seen| seen.last_ns - seen.first_ns;
        let mut lengths: Vec<u64> = self.seen.values().filter(|seen| !seen.spans.is_empty()).map(length).collect();
        let middle = lengths.len() / 2;
        let (_, &mut median, _) = lengths.select_nth_unstable(middle);
        for seen in self.seen.values_mut().filter(|seen| length(seen) <= median) {
            seen.spans = Vec::new();
        }
        self.open.values_mut().for_each(|open| open.spans = Vec::new());
        self.spans = self.seen.values().map(|seen| seen.spans.len()).sum();
    }

    /// The route of a request. Looks it up, if it is not known.
    pub(crate) fn route(&mut self, id: RequestId) -> Option<RouteId> {
        let (_, seen) = self.seen.get_index(id.index())?;
        if let Some(route) = seen.route {
            return Some(route);
        }
        let route = self.route_named(seen.route());
        let (_, seen) = self.seen.get_index_mut(id.index())?;
        seen.route = Some(route);
        seen.route
    }

    fn route_named(&mut self, name: String) -> RouteId {
        let size = 64 + name.len();
        let (number, is_new) = self.routes.insert_full(name);
        self.bytes += if is_new { size } else { 0 };
        RouteId(number as u32)
    }

    /// Whose time it is while goroutine `goid` serves `request`: that request's, if it was seen at a tick.
    pub(crate) fn whose(&mut self, request: &Request, goid: u64) -> Whose {
        match self.seen.get_index_of(&request.identity) {
            Some(number) => Whose::Serving(Serving::Request(RequestId(number as u32))),
            None if self.routes.len() < MAX_REQUESTS => Whose::OfRoute(self.route_named(route_of(request, goid))),
            None => Whose::Serving(Serving::Unknown),
        }
    }

    /// Looks up the routes of all requests. One that was seen only before its mux had matched it has the pattern of others of
    /// its kind ([`Patterns`]).
    pub(crate) fn find_routes(&mut self) {
        let mut patterns = Patterns::default();
        let of_http = |request: &Request| matches!(request.protocol, Protocol::Http1 | Protocol::Http2);
        for Request { method, path, route, .. } in self.seen.values().map(|seen| &seen.request) {
            if let (Some(method), Some(path), Some(pattern)) = (method, path, route) {
                patterns.learn(method, path, pattern);
            }
        }
        for seen in self.seen.values_mut().filter(|seen| seen.request.route.is_none() && of_http(&seen.request)) {
            let Request { method: Some(method), path: Some(path), .. } = &seen.request else { continue };
            if let Some(pattern) = patterns.of(method, path) {
                (seen.request.route, seen.route) = (Some(pattern.to_owned()), None);
            }
        }
        for number in 0..self.seen.len() {
            self.route(RequestId(number as u32));
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.seen.len()
    }

    /// A request.
    pub(crate) fn get(&self, id: RequestId) -> Option<&Seen> {
        self.seen.get_index(id.index()).map(|(_, seen)| seen)
    }

    /// About how many bytes of memory this takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
            + self.spans * size_of::<RawSpan>()
            + (self.servers.capacity() + self.heirs.capacity()) * 40
            + self.calls.capacity() * 16
            + self.owners.bytes()
            + self.open.capacity() * 64
            + self.sightings.bytes()
            + (self.waiting.capacity() + self.late.capacity() + self.takers.capacity()) * 32
    }

    /// All requests, by their [`RequestId`].
    pub(crate) fn into_seen(self) -> Vec<Seen> {
        self.seen.into_values().collect()
    }

    /// The looks at all requests, by their [`RequestId`].
    pub(crate) fn all_sightings(&self, slots: &[Slot]) -> Vec<Option<Sighting>> {
        (0..self.seen.len()).map(|number| self.sightings.of(RequestId(number as u32), slots)).collect()
    }

    /// For which request goroutines worked from their beginning, also while that was not known: those that serve one
    /// request in their lives, and whom these started.
    pub(crate) fn of_lives(&self) -> HashMap<u64, RequestId> {
        let sole = self.seen.values().enumerate().filter(|(_, seen)| seen.serves_one);
        let sole = sole.map(|(number, seen)| (seen.goid, RequestId(number as u32)));
        sole.chain(self.late.iter().map(|(goid, request)| (*goid, *request))).collect()
    }
}

fn text_bytes(request: &Request) -> usize {
    let texts = [&request.method, &request.path, &request.route, &request.request_id];
    texts.into_iter().flatten().map(String::len).sum()
}

#[cfg(test)]
mod tests;

/// The protocol, in the profile's words.
pub(crate) fn protocol_of(protocol: Protocol) -> fgspy_profile::Protocol {
    use fgspy_profile::Protocol as Shown;
    match protocol {
        Protocol::Http1 => Shown::Http1,
        Protocol::Http2 => Shown::Http2,
        Protocol::Grpc => Shown::Grpc,
        Protocol::Labels => Shown::Labels,
    }
}
