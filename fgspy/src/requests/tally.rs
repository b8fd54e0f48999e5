//! What is known of requests while they are being recorded: added up anew for each drawing.

use std::cmp::Reverse;
use std::collections::HashMap;

use fgspy_goroutines::request::{Protocol as Read, Request};
use fgspy_profile::{
    Builder, Filter, Length, NewRequest, Phase, Protocol, SampleKey, Serving, Sighting, State, Target, apply,
};
use fgspy_sampler::{Live, LiveTime, Seen};
use regex::Regex;

use super::findings;
use crate::args::requests::ChoiceArgs;

/// How many of the requests in progress are named.
pub(super) const NAMED: usize = 3;

/// Requests so far.
pub(super) struct Tally {
    choice: ChoiceArgs,
    filter: Filter,
    /// By the number of the request.
    known: Vec<Option<Known>>,
    pub(super) routes: Vec<Route>,
    by_name: HashMap<String, usize>,
    /// Phases that the requests in progress are in, as bits.
    now: HashMap<u32, u8>,
    /// The longest in progress.
    pub(super) oldest: Vec<Old>,
    pass: u32,
    tick_ns: u64,
}

/// A request that was seen before.
#[derive(Clone, Copy)]
struct Known {
    /// `None` for one that nobody wants to see.
    route: Option<usize>,
    /// Whether its pattern was known then.
    had_pattern: bool,
    /// The last pass that it was seen in.
    pass: u32,
}

/// A route so far.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) name: String,
    pub(super) seen: u64,
    pub(super) now: u64,
    /// The longest of its requests, as far as that is known.
    pub(super) longest: Length,
    /// Of all goroutines that work for its requests.
    pub(super) by_phase: [u64; Phase::COUNT],
}

/// A request in progress.
#[derive(Clone, Debug)]
pub(super) struct Old {
    number: u32,
    /// How long it has been there.
    pub(super) age: Length,
    pub(super) name: String,
    pub(super) trace_id: String,
    pub(super) phases: Vec<Phase>,
}

impl Route {
    fn new(name: String) -> Route {
        Route { name, seen: 0, now: 0, longest: Length::ZERO, by_phase: [0; Phase::COUNT] }
    }
}

impl Tally {
    /// Nothing yet, of a recording with ticks `tick_ns` nanoseconds apart.
    pub(super) fn new(choice: &ChoiceArgs, tick_ns: u64) -> Tally {
        Tally {
            choice: choice.clone(),
            filter: findings::filter(choice),
            known: Vec::new(),
            routes: Vec::new(),
            by_name: HashMap::new(),
            now: HashMap::new(),
            oldest: Vec::new(),
            pass: 0,
            tick_ns,
        }
    }

    /// Adds everything up anew.
    pub(super) fn count(&mut self, live: &Live<'_>) {
        self.pass += 1;
        self.now.clear();
        self.oldest.clear();
        for route in &mut self.routes {
            *route = Route::new(std::mem::take(&mut route.name));
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
        if at >= self.known.len() {
            self.known.resize(at + 1, None);
        }
        let has_pattern = seen.request.route.is_some();
        let known = self.known.get(at).copied().flatten();
        let pass = self.pass;
        let (known, is_first) = match known {
            Some(known) if known.had_pattern == has_pattern => (Known { pass, ..known }, known.pass != pass),
            _ => {
                let route = self.classify(seen).map(|name| self.route_named(name));
                (Known { route, had_pattern: has_pattern, pass }, true)
            }
        };
        if let Some(place) = self.known.get_mut(at) {
            *place = Some(known);
        }
        (known.route, is_first)
    }

    fn route_named(&mut self, name: String) -> usize {
        let routes = &mut self.routes;
        *self.by_name.entry(name).or_insert_with_key(|name| {
            routes.push(Route::new(name.clone()));
            routes.len() - 1
        })
    }

    /// The route of a request, if somebody wants to see it.
    fn classify(&self, seen: &Seen) -> Option<String> {
        let request = as_new(&seen.request, |new| {
            let ChoiceArgs { request, trace, naming, .. } = &self.choice;
            let route_regex = &naming.route_regex;
            if request.is_none() && trace.is_none() && route_regex.is_none() {
                return Some(new.route());
            }
            chosen(new, &self.filter, route_regex.as_ref())
        });
        request.filter(|name| self.choice.route.as_ref().is_none_or(|wanted| wanted.is_match(name)))
    }

    fn keep_if_old(&mut self, number: u32, seen: &Seen, age: Length) {
        let older = |old: &Old| (Reverse(old.age.rank()), old.number) < (Reverse(age.rank()), number);
        let at = self.oldest.partition_point(older);
        if at >= NAMED {
            return;
        }
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let request = &seen.request;
        let name = format!("{} {}", text(&request.method), text(&request.path)).trim().to_owned();
        let trace_id = request.trace.map_or(text(&request.request_id), |trace| trace.trace_id.to_string());
        let name = if name.is_empty() { format!("goroutine {}", seen.goid) } else { name };
        self.oldest.insert(at, Old { number, age, name, trace_id, phases: Vec::new() });
        self.oldest.truncate(NAMED);
    }

    /// Requests in progress.
    pub(super) fn in_progress(&self) -> usize {
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

/// The route of a request by the rule, if the filter accepts it: asked of a profile in which there is nothing else, so that
/// there is one answer to what a filter accepts.
fn chosen(new: NewRequest<'_>, filter: &Filter, rule: Option<&Regex>) -> Option<String> {
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
