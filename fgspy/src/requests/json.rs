//! The report as JSON, for `jq` and scripts.
//!
//! ```text
//! {
//!   "format": "fgspy-requests",         always this
//!   "version": 1,                       of this schema; a change that breaks a reader raises it
//!   "target": {"pid", "executable", "go_version"},
//!   "start_unix_ns", "duration_ns",
//!   "tick_ns",                          the period of the ticks
//!   "requests_seen", "in_flight_mean",
//!   "all_were_read",                    every goroutine at every tick; else looks at a request are further apart
//!   "routes": [{"route", "seen", "finished", "in_progress", "began_before", "seen_once", "in_flight_mean",
//!               "mean_ns", "mean_is", "longest_ns", "longest_is", <breakdown>, "children": {<breakdown>}}, ..],
//!   "requests": [{"route", "method", "path", "protocol", "trace_id", "span_id", "request_id", "goroutine",
//!                 "first_ns", "duration_ns", "duration_is", "at_least_ns", "at_most_ns", "began_before", "goes_on",
//!                 "observations", "by_state_ns": {..},
//!                 "children", "children_by_state_ns": {..},
//!                 "spans": [{"from_ns", "to_ns", "goroutine", "state", "wait_reason"}, ..]}, ..],
//!   "idle_mean": {"accepting": .., ..},  goroutines of servers without a request
//!   "unknown_ns", "other_ns",           time of goroutines of which it is not known, and of those in no server
//!   "accounting": {..},                 see `fgspy_profile::Accounting`: the names and units are those
//!   "notes": [..]
//! }
//! ```
//!
//! A breakdown is `"goroutines", "observations", "time_ns", "by_state": {"on_cpu": {"time_ns", "share", "low", "high"},
//! ..}, "stacks": [{"state", "time_ns", "share", "low", "high", "frames": [..]}, ..]`; `low` and `high` are the ends of the 95 %
//! interval of the share, and frames are function names, leaf first. `on_cpu` is the part of the requests' own wall time in which
//! their goroutines were on a CPU. `mean_is` says how far the mean can be known: `exact`, `at most`, `at least` or `about`.
//! A request took between `at_least_ns` (from the first look at which it was there to the last one) and `at_most_ns` (from the
//! last look before it to the first look after it; null if it began before the recording or went on after it). `duration_ns` is
//! what is printed, and `duration_is` what that says: `near` (within two ticks of it), `at least`, or `at most` (it was there at
//! one look only). Times are nanoseconds; those of requests count from the start of the recording. What is not known is an empty
//! string.

use std::collections::BTreeMap;
use std::io::{self, Write};

use fgspy_profile::{
    Accounting, Breakdown, Class, Phase, PhaseTime, Profile, Request, RequestBreakdown, RequestFindings,
    RouteBreakdown, StackTime,
};
use serde::{Serialize, Serializer};

use fgspy_sampler::Ended;

use super::notes;
use crate::ending;
use crate::terminal::numbers;

/// The version of the schema.
const VERSION: u32 = 1;
/// Places written of each breakdown.
const PLACES: usize = 20;

#[derive(Serialize)]
struct Report<'a> {
    format: &'static str,
    version: u32,
    target: Target<'a>,
    start_unix_ns: u64,
    duration_ns: u64,
    tick_ns: u64,
    requests_seen: usize,
    in_flight_mean: f64,
    all_were_read: bool,
    routes: Vec<Route<'a>>,
    requests: Vec<OneRequest<'a>>,
    idle_mean: BTreeMap<&'static str, f64>,
    unknown_ns: u64,
    other_ns: u64,
    accounting: &'a Accounting,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Target<'a> {
    pid: u32,
    executable: &'a str,
    go_version: &'a str,
}

#[derive(Serialize)]
struct Route<'a> {
    route: &'a str,
    seen: u64,
    finished: u64,
    in_progress: u64,
    began_before: u64,
    seen_once: u64,
    in_flight_mean: f64,
    mean_ns: u64,
    mean_is: &'static str,
    longest_ns: u64,
    longest_is: &'static str,
    #[serde(flatten)]
    own: MadeOf<'a>,
    children: MadeOf<'a>,
}

#[derive(Serialize)]
struct MadeOf<'a> {
    goroutines: u64,
    observations: u64,
    time_ns: u64,
    #[serde(serialize_with = "by_state")]
    by_state: [Share; Phase::COUNT],
    stacks: Vec<Place<'a>>,
}

#[derive(Clone, Copy, Serialize)]
struct Share {
    time_ns: u64,
    share: f64,
    low: f64,
    high: f64,
}

impl From<PhaseTime> for Share {
    fn from(part: PhaseTime) -> Share {
        let PhaseTime { time_ns, share, low, high } = part;
        Share { time_ns, share, low, high }
    }
}

#[derive(Serialize)]
struct Place<'a> {
    state: &'static str,
    #[serde(flatten)]
    time: Share,
    frames: Vec<&'a str>,
}

#[derive(Serialize)]
struct OneRequest<'a> {
    route: &'a str,
    method: &'a str,
    path: &'a str,
    protocol: &'static str,
    trace_id: &'a str,
    span_id: &'a str,
    request_id: &'a str,
    goroutine: u64,
    first_ns: u64,
    duration_ns: u64,
    duration_is: &'static str,
    at_least_ns: u64,
    at_most_ns: Option<u64>,
    began_before: bool,
    goes_on: bool,
    observations: u64,
    #[serde(serialize_with = "by_state")]
    by_state_ns: [u64; Phase::COUNT],
    children: u64,
    #[serde(serialize_with = "by_state")]
    children_by_state_ns: [u64; Phase::COUNT],
    spans: Vec<OneSpan<'a>>,
}

#[derive(Serialize)]
struct OneSpan<'a> {
    from_ns: u64,
    to_ns: u64,
    goroutine: u64,
    state: &'static str,
    wait_reason: &'a str,
}

/// As an object, in the order of the phases.
fn by_state<S: Serializer, T: Serialize>(values: &[T; Phase::COUNT], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(Phase::ALL.iter().map(|phase| phase.key()).zip(values))
}

/// Writes the report, with so many of the routes and of the slowest requests.
pub(super) fn write(
    found: &RequestFindings<'_>,
    ended: Ended,
    routes: usize,
    requests: usize,
    mut out: impl Write,
) -> io::Result<()> {
    let whole = found.whole;
    let mut all_notes: Vec<String> = ending::early_sentence(ended).into_iter().collect();
    all_notes.extend(notes::rough(found));
    if found.routes.is_empty() {
        all_notes.extend(notes::why_nothing(found));
    }
    all_notes.extend(notes::notes(found));
    let totals = whole.serving_totals().unwrap_or_default();
    let idle = totals.by_idle_ns.iter().map(|(idle, ns)| (idle.word(), *ns as f64 / whole.duration_ns.max(1) as f64));
    let report = Report {
        format: "fgspy-requests",
        version: VERSION,
        target: Target {
            pid: whole.target.pid,
            executable: &whole.target.executable,
            go_version: &whole.target.go_version,
        },
        start_unix_ns: whole.start_unix_ns,
        duration_ns: whole.duration_ns,
        tick_ns: found.tick_ns,
        requests_seen: found.requests.len(),
        in_flight_mean: found.in_flight(),
        all_were_read: found.all_were_read,
        routes: found.routes.iter().take(routes).map(|route| of_route(found, route)).collect(),
        requests: found.slowest(requests).map(|(time, request)| of_request(&found.shown, time, request)).collect(),
        idle_mean: idle.collect(),
        unknown_ns: totals.unknown_ns,
        other_ns: totals.nothing_ns,
        accounting: &whole.accounting,
        notes: all_notes,
    };
    serde_json::to_writer_pretty(&mut out, &report)?;
    writeln!(out)
}

fn of_route<'a>(found: &'a RequestFindings<'_>, route: &'a RouteBreakdown) -> Route<'a> {
    Route {
        route: found.shown.string(route.route),
        seen: route.seen,
        finished: route.seen.saturating_sub(route.in_progress),
        in_progress: route.in_progress,
        began_before: route.began_before,
        seen_once: route.seen_once,
        in_flight_mean: route.in_flight(found.whole.duration_ns),
        mean_ns: found.mean_ns(route),
        mean_is: found.mean_is(route).word(),
        longest_ns: route.longest.ns,
        longest_is: numbers::known(route.longest.known),
        own: made_of(&found.shown, &route.own),
        children: made_of(&found.shown, &route.children),
    }
}

fn made_of<'a>(profile: &'a Profile, breakdown: &'a Breakdown) -> MadeOf<'a> {
    let share = |phase| Share::from(breakdown.phase(phase));
    let place = |place: &StackTime| Place {
        state: place.phase.key(),
        time: Share::from(place.time),
        frames: profile.frames(place.stack).map(|frame| frame.name).collect(),
    };
    MadeOf {
        goroutines: breakdown.goroutines,
        observations: breakdown.observations,
        time_ns: breakdown.time_ns,
        by_state: Phase::ALL.map(share),
        stacks: breakdown.stacks.iter().take(PLACES).map(place).collect(),
    }
}

fn of_request<'a>(profile: &'a Profile, time: &RequestBreakdown, request: &'a Request) -> OneRequest<'a> {
    let text = |id| profile.string(id);
    let spans = request.spans.iter().map(|span| {
        let wait_reason = span.wait_reason.map_or("", text);
        OneSpan {
            from_ns: span.from_ns,
            to_ns: span.to_ns,
            goroutine: span.goid,
            state: Phase::of(Class::of(span.state, wait_reason)).key(),
            wait_reason,
        }
    });
    OneRequest {
        route: text(request.route),
        method: text(request.method),
        path: text(request.path),
        protocol: request.protocol.word(),
        trace_id: text(request.trace_id),
        span_id: text(request.span_id),
        request_id: text(request.request_id),
        goroutine: request.goid,
        first_ns: request.first_ns,
        duration_ns: time.length.ns,
        duration_is: numbers::known(time.length.known),
        at_least_ns: time.length.bounds.at_least_ns,
        at_most_ns: time.length.bounds.at_most_ns,
        began_before: time.began_before,
        goes_on: time.goes_on,
        observations: time.observations,
        by_state_ns: time.own_ns,
        children: time.children,
        children_by_state_ns: time.children_ns,
        spans: spans.collect(),
    }
}
