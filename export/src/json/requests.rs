//! What the JSON says of requests.

use std::collections::HashMap;

use fgspy_profile::{Breakdown, Class, Idle, Phase, PhaseTime, Profile, RouteTime, ServingTotals, StringId};
use serde::{Serialize, Serializer};

use super::by_word;

/// Whose time is whose.
#[derive(Serialize)]
pub(super) struct Totals {
    requests: usize,
    routes: usize,
    request_ns: u64,
    idle_ns: u64,
    #[serde(serialize_with = "by_idle")]
    by_idle_ns: [(Idle, u64); Idle::ALL.len()],
    nothing_ns: u64,
    unknown_ns: u64,
}

impl From<ServingTotals> for Totals {
    fn from(totals: ServingTotals) -> Totals {
        let ServingTotals { requests, routes, request_ns, idle_ns, by_idle_ns, nothing_ns, unknown_ns } = totals;
        Totals { requests, routes, request_ns, idle_ns, by_idle_ns, nothing_ns, unknown_ns }
    }
}

/// As an object.
fn by_idle<S: Serializer>(times: &[(Idle, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(times.iter().map(|(idle, time)| (idle.word(), time)))
}

#[derive(Serialize)]
pub(super) struct Route<'a> {
    route: &'a str,
    requests: usize,
    time_ns: u64,
    #[serde(serialize_with = "by_word")]
    by_class_ns: [(Class, u64); Class::COUNT],
    own: Own,
}

/// The time of the goroutines that serve the requests of a route.
#[derive(Serialize)]
struct Own {
    time_ns: u64,
    #[serde(serialize_with = "by_state")]
    by_state: [PhaseTime; Phase::COUNT],
}

/// As an object, in the order of the phases.
fn by_state<S: Serializer>(phases: &[PhaseTime], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Share {
        time_ns: u64,
        share: f64,
        low: f64,
        high: f64,
    }
    let share = |&PhaseTime { time_ns, share, low, high }: &PhaseTime| Share { time_ns, share, low, high };
    serializer.collect_map(Phase::ALL.iter().map(|phase| phase.key()).zip(phases.iter().map(share)))
}

/// What the own time of each route is made of.
pub(super) fn shares(profile: &Profile) -> HashMap<StringId, Breakdown> {
    let routes = profile.route_breakdowns(&profile.request_breakdowns());
    routes.into_iter().map(|route| (route.route, route.own)).collect()
}

/// A row of the table of routes. `shares` is what [`shares`] gives.
pub(super) fn route<'a>(profile: &'a Profile, shares: &HashMap<StringId, Breakdown>, route: &RouteTime) -> Route<'a> {
    let RouteTime { route, requests, time_ns, by_class_ns } = *route;
    let own = shares.get(&route).map_or(Own { time_ns: 0, by_state: Default::default() }, |own| Own {
        time_ns: own.time_ns,
        by_state: own.phases,
    });
    Route { route: profile.string(route), requests, time_ns, by_class_ns, own }
}

#[derive(Serialize)]
pub(super) struct Request<'a> {
    protocol: &'a str,
    method: &'a str,
    path: &'a str,
    pattern: &'a str,
    route: &'a str,
    trace_id: &'a str,
    span_id: &'a str,
    request_id: &'a str,
    goroutine: u64,
    first_ns: u64,
    last_ns: u64,
    at_least_ns: Option<u64>,
    at_most_ns: Option<u64>,
    spans: Vec<Span<'a>>,
}

#[derive(Serialize)]
struct Span<'a> {
    from_ns: u64,
    to_ns: u64,
    goroutine: u64,
    state: &'a str,
    wait_reason: &'a str,
}

/// A row of the table of requests.
pub(super) fn request<'a>(profile: &'a Profile, request: &fgspy_profile::Request) -> Request<'a> {
    let spans = request.spans.iter().map(|span| Span {
        from_ns: span.from_ns,
        to_ns: span.to_ns,
        goroutine: span.goid,
        state: span.state.word(),
        wait_reason: span.wait_reason.map_or("", |id| profile.string(id)),
    });
    let bounds = request.sighting.map(fgspy_profile::Sighting::bounds);
    Request {
        protocol: request.protocol.word(),
        method: profile.string(request.method),
        path: profile.string(request.path),
        pattern: profile.string(request.pattern),
        route: profile.string(request.route),
        trace_id: profile.string(request.trace_id),
        span_id: profile.string(request.span_id),
        request_id: profile.string(request.request_id),
        goroutine: request.goid,
        first_ns: request.first_ns,
        last_ns: request.last_ns,
        at_least_ns: bounds.map(|bounds| bounds.at_least_ns),
        at_most_ns: bounds.and_then(|bounds| bounds.at_most_ns),
        spans: spans.collect(),
    }
}
