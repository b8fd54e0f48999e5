//! What the JSON says of requests.

use fgspy_profile::{Class, Idle, Profile, RouteTime, ServingTotals};
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
}

/// A row of the table of routes.
pub(super) fn route<'a>(profile: &'a Profile, route: &RouteTime) -> Route<'a> {
    let RouteTime { route, requests, time_ns, by_class_ns } = *route;
    Route { route: profile.string(route), requests, time_ns, by_class_ns }
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
        spans: spans.collect(),
    }
}
