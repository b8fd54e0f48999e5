//! What is known of requests while a recording goes on: a snapshot by route, for a view that is redrawn.

use std::cmp::Reverse;
use std::collections::HashMap;

use fgspy_goroutines::request::{Protocol as Read, Request};
use fgspy_profile::{
    Builder, Filter, Length, NewRequest, Phase, Protocol, RequestSelection, SampleKey, Serving, Sighting, State,
    Target, apply,
};
use regex::Regex;

use crate::{Live, LiveTime, Seen};

/// How many of the requests in progress are listed one by one.
pub const MAX_IN_PROGRESS: usize = 3;

/// The requests of a recording so far.
#[derive(Debug)]
pub struct Tally {
    selection: RequestSelection,
    /// The user's own rule for the names of routes.
    route_regex: Option<Regex>,
    filter: Filter,
    /// By the number of the request.
    counted: Vec<Option<Counted>>,
    /// The routes whose requests were seen, in the order in which they were first seen.
    pub routes: Vec<RouteTally>,
    by_name: HashMap<String, usize>,
    /// Phases that the requests in progress are in, as bits.
    now: HashMap<u32, u8>,
    /// The requests that have been in progress for the longest time.
    pub oldest: Vec<InProgress>,
    pass: u32,
    tick_ns: u64,
}

/// A request that was seen before.
#[derive(Clone, Copy, Debug)]
struct Counted {
    /// `None` for one that is not selected.
    route: Option<usize>,
    /// Whether its pattern was known then.
    had_pattern: bool,
    /// The last pass that it was seen in.
    pass: u32,
}

/// A route so far.
#[derive(Clone, Debug)]
pub struct RouteTally {
    /// Its name; empty if it was not read.
    pub name: String,
    /// Requests seen.
    pub seen: u64,
    /// Requests in progress.
    pub now: u64,
    /// The longest of its requests, as far as that is known.
    pub longest: Length,
    /// Time of all goroutines that work for its requests, in nanoseconds, in the order of [`Phase::ALL`].
    pub by_phase: [u64; Phase::COUNT],
}

/// A request in progress.
#[derive(Clone, Debug)]
pub struct InProgress {
    number: u32,
    /// How long it has been there.
    pub age: Length,
    /// Its method and path, or the goroutine that serves it.
    pub name: String,
    /// The id of its trace, else its own; empty if it has none.
    pub trace_id: String,
    /// The phases that its goroutines are in.
    pub phases: Vec<Phase>,
}

impl RouteTally {
    fn new(name: String) -> RouteTally {
        RouteTally { name, seen: 0, now: 0, longest: Length::ZERO, by_phase: [0; Phase::COUNT] }
    }
}

impl Tally {
    /// No requests yet, of a recording with ticks `tick_ns` nanoseconds apart. `route_regex` names routes, as in
    /// [`fgspy_profile::Profile::reroute`].
    pub fn new(selection: RequestSelection, route_regex: Option<Regex>, tick_ns: u64) -> Tally {
        Tally {
            filter: selection.filter(),
            selection,
            route_regex,
            counted: Vec::new(),
            routes: Vec::new(),
            by_name: HashMap::new(),
            now: HashMap::new(),
            oldest: Vec::new(),
            pass: 0,
            tick_ns,
        }
    }

    /// Adds everything up anew.
    pub fn count(&mut self, live: &Live<'_>) {
        self.pass += 1;
        self.now.clear();
        self.oldest.clear();
        for route in &mut self.routes {
            *route = RouteTally::new(std::mem::take(&mut route.name));
        }
        live.times(&mut |time| self.add(time, &|number| live.sighting(number)));
        for old in &mut self.oldest {
            let bits = self.now.get(&old.number).copied().unwrap_or(0);
            old.phases = Phase::ALL.into_iter().filter(|phase| bits & 1 << phase.index() != 0).collect();
        }
    }

    fn add(&mut self, time: LiveTime<'_>, sighting: &dyn Fn(u32) -> Option<Sighting>) {
        let LiveTime { number, seen, class, time_ns, is_now } = time;
        let (index, is_first) = self.route_of(number, seen);
        let tick_ns = self.tick_ns;
        let length = || sighting(number).map_or(Length::ZERO, |sighting| Length::new(sighting.bounds(), tick_ns));
        let Some(route) = index.and_then(|index| self.routes.get_mut(index)) else { return };
        let phase = Phase::of(class);
        route.seen += u64::from(is_first);
        if is_first {
            let length = length();
            route.longest = if length.rank() > route.longest.rank() { length } else { route.longest };
        }
        if let Some(sum) = route.by_phase.get_mut(phase.index()) {
            *sum = sum.saturating_add(time_ns);
        }
        if is_now {
            let bits = self.now.entry(number).or_insert(0);
            let is_new = *bits == 0;
            *bits |= 1 << phase.index();
            if is_new {
                route.now += 1;
                self.keep_if_old(number, seen, length());
            }
        }
    }

    /// The route of a request, and whether it is the first time in this pass that this is asked.
    fn route_of(&mut self, number: u32, seen: &Seen) -> (Option<usize>, bool) {
        let at = number as usize;
        if at >= self.counted.len() {
            self.counted.resize(at + 1, None);
        }
        let has_pattern = seen.request.route.is_some();
        let known = self.counted.get(at).copied().flatten();
        let pass = self.pass;
        let (known, is_first) = match known {
            Some(known) if known.had_pattern == has_pattern => (Counted { pass, ..known }, known.pass != pass),
            _ => {
                let route = self.classify(seen).map(|name| self.route_named(name));
                (Counted { route, had_pattern: has_pattern, pass }, true)
            }
        };
        if let Some(place) = self.counted.get_mut(at) {
            *place = Some(known);
        }
        (known.route, is_first)
    }

    fn route_named(&mut self, name: String) -> usize {
        let routes = &mut self.routes;
        *self.by_name.entry(name).or_insert_with_key(|name| {
            routes.push(RouteTally::new(name.clone()));
            routes.len() - 1
        })
    }

    /// The route of a request, if it is selected.
    fn classify(&self, seen: &Seen) -> Option<String> {
        let request = as_new(&seen.request, |new| {
            let RequestSelection { request, trace, .. } = &self.selection;
            if request.is_none() && trace.is_none() && self.route_regex.is_none() {
                return Some(new.route());
            }
            selected_route(new, &self.filter, self.route_regex.as_ref())
        });
        request.filter(|name| self.selection.has_route(name))
    }

    fn keep_if_old(&mut self, number: u32, seen: &Seen, age: Length) {
        let older = |old: &InProgress| (Reverse(old.age.rank()), old.number) < (Reverse(age.rank()), number);
        let at = self.oldest.partition_point(older);
        if at >= MAX_IN_PROGRESS {
            return;
        }
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let request = &seen.request;
        let name = format!("{} {}", text(&request.method), text(&request.path)).trim().to_owned();
        let trace_id = request.trace.map_or(text(&request.request_id), |trace| trace.trace_id.to_string());
        let name = if name.is_empty() { format!("goroutine {}", seen.goid) } else { name };
        self.oldest.insert(at, InProgress { number, age, name, trace_id, phases: Vec::new() });
        self.oldest.truncate(MAX_IN_PROGRESS);
    }

    /// Requests in progress.
    pub fn in_progress(&self) -> usize {
        self.now.len()
    }
}

/// The request as profiles have it.
fn as_new<T>(request: &Request, then: impl FnOnce(NewRequest<'_>) -> T) -> T {
    let trace_id = request.trace.map_or(String::new(), |trace| trace.trace_id.to_string());
    then(NewRequest {
        protocol: match request.protocol {
            Read::Http1 => Protocol::Http1,
            Read::Http2 => Protocol::Http2,
            Read::Grpc => Protocol::Grpc,
            Read::Labels => Protocol::Labels,
        },
        method: request.method.as_deref().unwrap_or(""),
        path: request.path.as_deref().unwrap_or(""),
        pattern: request.route.as_deref().unwrap_or(""),
        trace_id: &trace_id,
        ..NewRequest::default()
    })
}

/// The route of a request by the rule, if the filter accepts it. The filter is applied to a profile with only this request, so
/// that filters have one implementation.
fn selected_route(new: NewRequest<'_>, filter: &Filter, rule: Option<&Regex>) -> Option<String> {
    let mut builder = Builder::new(Target::default(), 0);
    let serving = Serving::Request(builder.request(new));
    let (stack, labels) = (builder.stack(&[]), builder.labels(&[]));
    let key = SampleKey { stack, goid: 0, state: State::Running, wait_reason: None, labels, creator: None, serving };
    builder.add(key, 1, 1);
    let mut profile = builder.finish(1, Default::default());
    rule.into_iter().for_each(|rule| profile.reroute(rule));
    let accepted = apply(&profile, filter);
    let request = accepted.samples.first().and_then(|sample| accepted.request_of(sample))?;
    Some(accepted.string(request.route).to_owned())
}
