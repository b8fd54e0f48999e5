//! What a trace says of requests and of waits, kept within bounds.

mod distribution;
mod grpc_over_http;
mod profile;

pub use distribution::Distribution;
pub use profile::{Finished, PlacedWaits};

use std::collections::{BTreeMap, HashMap};

use crate::{CLASSES, EndReason, Event, Headers, RUNNING, SiteKind, Times};
use fgspy_profile::{Protocol, route};
use rustc_hash::FxHashMap;

use self::grpc_over_http::GrpcOverHttp;

/// How much is kept. What is beyond is counted in [`Trace::dropped`], and missing from lists, never from sums of routes that are
/// known.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Routes; the requests of others are put together.
    pub routes: usize,
    /// The slowest requests, one by one.
    pub slowest: usize,
    /// Requests that are being served at a time.
    pub open: usize,
    /// Places where goroutines wait.
    pub places: usize,
    /// Changes of state of one request; 0: nobody wants them, and none is counted as left out.
    pub steps: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { routes: 1000, slowest: 200, open: 1 << 16, places: 1 << 16, steps: 512 }
    }
}

/// What the route is called that stands for all beyond [`Limits::routes`].
const OTHERS: &str = "(other routes)";

/// Requests of one kind.
#[derive(Clone, Debug, Default)]
pub struct Route {
    /// How long they took.
    pub durations: Distribution,
    /// How long each was in a state, by the kernel's number of its class; of those that were in it at all.
    pub by_class: [Distribution; CLASSES],
    /// What goroutines did that were started for them.
    pub children_ns: Times,
    /// How many there were.
    pub children: u64,
    /// How often the goroutines that served them changed their state.
    pub transitions: u64,
}

impl Route {
    fn add(&mut self, one: &OneRequest, transitions: u64) {
        self.durations.add(one.duration_ns());
        for (all, time) in self.by_class.iter_mut().zip(one.own_ns).filter(|(_, time)| *time > 0) {
            all.add(time);
        }
        for (sum, time) in self.children_ns.iter_mut().zip(one.children_ns) {
            *sum = sum.saturating_add(time);
        }
        self.children += one.children;
        self.transitions += transitions;
    }
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// What the goroutine did from then on: the kernel's number of its class.
    pub class: u8,
}

/// One request that is over.
#[derive(Clone, Debug)]
pub struct OneRequest {
    /// Its number.
    pub number: u64,
    /// How it came; HTTP/2 is not told from HTTP/1.
    pub protocol: Protocol,
    /// Its route; empty until it is over, because a mux finds the pattern later than it begins.
    pub route: String,
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// The headers that say which one it is.
    pub headers: Headers,
    /// The goroutine that served it.
    pub goid: u64,
    /// When it began, in nanoseconds of `CLOCK_MONOTONIC`.
    pub begin_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// Whether its goroutine ended with it, and no handler was seen to return.
    pub by_exit: bool,
    /// What its goroutine did.
    pub own_ns: Times,
    /// What goroutines did that were started for it.
    pub children_ns: Times,
    /// How many there were.
    pub children: u64,
    /// Its goroutine's changes of state, if they were asked for.
    pub steps: Vec<Step>,
}

impl OneRequest {
    /// How long it took.
    pub fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.begin_ns)
    }
}

/// Waits at one place, that were as long as was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The route of the request that waited, if it was one.
    pub route: Option<String>,
    /// It was not the goroutine that serves the request which waited, but one that was started for it.
    pub by_child: bool,
    /// What for: the kernel's number of the class.
    pub class: u8,
    /// The runtime's number of the reason.
    pub reason: u8,
    /// Program counters, innermost first.
    pub stack: Vec<u64>,
    /// How many.
    pub count: u64,
    /// How long all together.
    pub total_ns: u64,
    /// The longest.
    pub longest_ns: u64,
    /// How many of them another goroutine ended, and not the scheduler.
    pub woken: u64,
}

/// Whether a child waited, class, reason and stack.
type Wait = (bool, u8, u8, Vec<u64>);

/// What was traced.
#[derive(Debug, Default)]
pub struct Trace {
    limits: Limits,
    routes: BTreeMap<String, Route>,
    /// By their numbers, which are fgspy's own: no target can make them collide.
    open: FxHashMap<u64, OneRequest>,
    serving: HashMap<u64, u64>,
    slowest: Vec<OneRequest>,
    /// By the request that waited: its route is known when it is over.
    waiting: HashMap<Option<u64>, HashMap<Wait, Place>>,
    /// How many places there are in `waiting`.
    waits: usize,
    places: HashMap<(Option<String>, Wait), Place>,
    /// Calls of gRPC that came through `net/http`.
    carried: GrpcOverHttp,
    dropped: u64,
    unknown: u64,
    unended: u64,
}

impl Trace {
    /// Nothing yet.
    pub fn new(limits: Limits) -> Trace {
        Trace { limits, ..Trace::default() }
    }

    /// Takes an event. Gives the request that it ends, if it does.
    pub fn take(&mut self, event: Event) -> Option<OneRequest> {
        match event {
            Event::RequestBegin { time_ns, goid, parent, request, site, method, path, .. } => {
                self.begin(time_ns, goid, request, site, method, path);
                self.is_carried_by(request, parent);
                None
            }
            Event::RequestIds { request, headers } => {
                self.open.get_mut(&request).into_iter().for_each(|open| open.headers.clone_from(&headers));
                None
            }
            Event::RequestEnd { .. } => self.end(event),
            Event::Transition { time_ns, goid, class, request, .. } => {
                let number = request.filter(|number| self.serving.get(&goid) == Some(number))?;
                let open = self.open.get_mut(&number)?;
                if let (true, Some(last)) = (event.was_at_work(), open.steps.last_mut()) {
                    last.class = RUNNING;
                } else if open.steps.len() < self.limits.steps {
                    open.steps.push(Step { time_ns, class });
                } else if self.limits.steps > 0 {
                    self.dropped += 1;
                }
                None
            }
            // It waits for the goroutine that serves the call, whose waits are the request's.
            Event::Blocked { goid, request: Some(request), .. }
                if self.serving.get(&goid) == Some(&request) && self.carried.carries(request) =>
            {
                None
            }
            Event::Blocked { time_ns, since_ns, goid, class, reason, by, request, stack, .. } => {
                // Who was started for a request may outlive it.
                let request = request.filter(|number| self.open.contains_key(number));
                let by_child = request.is_some_and(|number| self.serving.get(&goid) != Some(&number));
                let place = Place {
                    route: None,
                    by_child,
                    class,
                    reason,
                    stack: stack.clone(),
                    count: 1,
                    total_ns: time_ns.saturating_sub(since_ns),
                    longest_ns: time_ns.saturating_sub(since_ns),
                    woken: u64::from(by.is_some()),
                };
                if self.waits >= self.limits.places {
                    self.dropped += 1;
                    return None;
                }
                let waits = self.waiting.entry(request).or_default();
                let before = waits.len();
                add(waits.entry((by_child, class, reason, stack)), place);
                self.waits += waits.len() - before;
                None
            }
        }
    }

    fn begin(&mut self, begin_ns: u64, goid: u64, number: u64, site: SiteKind, method: Vec<u8>, path: Vec<u8>) {
        // One that is still there has ended, and that was lost: a goroutine serves one at a time.
        if let Some(before) = self.serving.remove(&goid) {
            self.unknown += u64::from(self.open.remove(&before).is_some());
            self.unknown += u64::from(self.carried.lost(before).is_some());
        }
        if self.open.len() >= self.limits.open {
            self.dropped += 1;
            return;
        }
        let opened = OneRequest {
            number,
            protocol: if site == SiteKind::GrpcBegin { Protocol::Grpc } else { Protocol::Http1 },
            route: String::new(),
            method: text(method),
            path: text(path),
            headers: Headers::default(),
            goid,
            begin_ns,
            end_ns: begin_ns,
            by_exit: false,
            own_ns: [0; CLASSES],
            children_ns: [0; CLASSES],
            children: 0,
            steps: vec![Step { time_ns: begin_ns, class: RUNNING }],
        };
        self.serving.insert(goid, number);
        self.open.insert(number, opened);
    }

    /// A request of gRPC that came with another request is the same as that one.
    fn is_carried_by(&mut self, call: u64, parent: Option<u64>) {
        let Some(&carrier) = parent.and_then(|parent| self.serving.get(&parent)) else { return };
        let (Some(one), Some(other)) = (self.open.get(&call), self.open.get(&carrier)) else { return };
        if one.protocol == Protocol::Grpc && other.protocol != Protocol::Grpc && one.path == other.path {
            self.carried.begins(call, carrier);
        }
    }

    fn end(&mut self, event: Event) -> Option<OneRequest> {
        let Event::RequestEnd {
            time_ns,
            goid,
            request,
            how,
            own_ns,
            children_ns,
            children,
            transitions,
            route: pattern,
            ..
        } = event
        else {
            return None;
        };
        let Some(mut one) = self.open.remove(&request) else {
            self.unknown += 1; // its beginning was lost, or there were too many
            return None;
        };
        if self.serving.get(&goid) == Some(&request) {
            self.serving.remove(&goid);
        }
        // When it ended is not known; its waits are nobody's, as those of one that is not over.
        if how == EndReason::NextRequest {
            self.unended += 1;
            let other = self.carried.lost(request)?;
            return Some(self.finish(other));
        }
        (one.end_ns, one.by_exit, one.own_ns, one.children_ns, one.children) =
            (time_ns, how == EndReason::GoroutineExit, own_ns, children_ns, children);
        one.route = match text(pattern) {
            pattern if pattern.contains(char::REPLACEMENT_CHARACTER) => route(one.protocol, &one.method, &one.path, ""),
            pattern => route(one.protocol, &one.method, &one.path, &pattern),
        };
        let over = self.carried.ends(grpc_over_http::Finished { one, transitions, carrier: None }, |number| {
            self.open.contains_key(&number)
        })?;
        Some(self.finish(over))
    }

    /// Adds up what is over.
    fn finish(&mut self, over: grpc_over_http::Finished) -> OneRequest {
        let grpc_over_http::Finished { one, transitions, carrier } = over;
        [Some(one.number), carrier].into_iter().flatten().for_each(|number| self.settle_waits(number, &one.route));
        // Nearly always the route is known, and needs no copy of its name.
        match self.routes.get_mut(&one.route) {
            Some(route) => route.add(&one, transitions),
            None => {
                let is_room = self.routes.len() < self.limits.routes;
                let name = if is_room { one.route.clone() } else { OTHERS.into() };
                self.routes.entry(name).or_default().add(&one, transitions);
            }
        }
        self.keep_if_slow(&one);
        one
    }

    /// The waits of a request that is over are its route's.
    fn settle_waits(&mut self, number: u64, route: &str) {
        let its = self.waiting.remove(&Some(number)).unwrap_or_default();
        self.waits -= its.len();
        for (wait, mut place) in its {
            place.route = Some(route.to_owned());
            let key = (place.route.clone(), wait);
            if self.places.len() >= self.limits.places && !self.places.contains_key(&key) {
                self.dropped += 1;
                continue;
            }
            add(self.places.entry(key), place);
        }
    }

    fn keep_if_slow(&mut self, one: &OneRequest) {
        let at = self.slowest.partition_point(|other| other.duration_ns() >= one.duration_ns());
        if at < self.limits.slowest {
            self.slowest.insert(at, one.clone());
            self.slowest.truncate(self.limits.slowest);
        }
    }

    /// From how many nanoseconds on a request is one of the slowest until now; 0 if any is.
    pub fn slow_from_ns(&self) -> u64 {
        self.slowest.get(self.limits.slowest.saturating_sub(1)).map_or(0, OneRequest::duration_ns)
    }

    /// Requests by route.
    pub fn routes(&self) -> &BTreeMap<String, Route> {
        &self.routes
    }

    /// The slowest requests, slowest first.
    pub fn slowest(&self) -> &[OneRequest] {
        &self.slowest
    }

    /// Requests that are still being served.
    pub fn open(&self) -> impl Iterator<Item = &OneRequest> {
        // Of two that are one, the call.
        let is_open = |number: u64| self.open.contains_key(&number);
        self.open.values().filter(move |one| !self.carried.call_of(one.number).is_some_and(is_open))
    }

    /// Where goroutines waited, the longest sums first. Waits of requests that are not over, and of goroutines that serve
    /// none, are without a route.
    pub fn places(&self) -> Vec<Place> {
        let mut all = self.places.clone();
        for (wait, place) in self.waiting.values().flatten() {
            // Without a request there are no children.
            let place = Place { by_child: false, ..place.clone() };
            add(all.entry((None, (false, wait.1, wait.2, wait.3.clone()))), place);
        }
        let mut places: Vec<Place> = all.into_values().collect();
        places.sort_by(|a, b| b.total_ns.cmp(&a.total_ns).then_with(|| a.stack.cmp(&b.stack)));
        places
    }

    /// How much was left out because there was too much of it.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Requests that ended at some time that nobody saw ([`EndReason::NextRequest`]). They are in no list.
    pub fn unended(&self) -> u64 {
        self.unended
    }

    /// Requests that ended and had not been seen to begin.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }
}

/// A text of the target's, whatever it is.
fn text(bytes: Vec<u8>) -> String {
    let text = String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    if text.contains(char::is_control) { text.replace(char::is_control, "\u{fffd}") } else { text }
}

fn add<K>(entry: std::collections::hash_map::Entry<'_, K, Place>, place: Place) {
    entry
        .and_modify(|known| {
            known.count += place.count;
            known.total_ns = known.total_ns.saturating_add(place.total_ns);
            known.longest_ns = known.longest_ns.max(place.longest_ns);
            known.woken += place.woken;
        })
        .or_insert(place);
}

#[cfg(test)]
mod tests;
