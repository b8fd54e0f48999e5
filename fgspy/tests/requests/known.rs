//! What is said of requests is what the service and its load know of them.

use std::collections::HashSet;

use fgspy_fixtures::requests::{Load, Service};

use crate::common::{newest, program};
use crate::report::{Request, Route, watch};

/// What the handlers of these routes spend nearly all of their time in.
const DOMINATING: [(&str, &str); 7] = [
    ("lock", "lock"),
    ("channel", "channel"),
    ("upstream", "channel"),
    ("sleep", "sleep"),
    ("file", "syscall"),
    ("fan-out", "lock"),
    ("deep", "channel"),
];
/// How long a handler waits.
const DELAY_NS: u64 = 40_000_000;

#[test]
fn routes_states_and_traces_are_those_of_the_service() {
    let binary = program("requests", &newest());
    let mut service = Service::start(&binary, &["-delay=40ms", "-cpu=3ms"], &[]).unwrap();
    let addresses = ["http1", "tls2"].map(|way| service.addresses.get_key_value(way).unwrap());
    let mut load = Load::start(&binary, addresses, &["-clients=6"]).unwrap();
    let report = watch(service.fixture.pid(), "3s");
    load.must_run().unwrap();
    let sent = load.end().unwrap();
    let logged = service.log().unwrap();

    assert!(report.all_were_read && report.requests_seen > 100, "{report:?}");
    assert_eq!(report.requests_seen, report.requests.len() as u64);
    assert_eq!(report.requests_seen, report.routes.iter().map(|route| route.seen).sum::<u64>());
    for route in &report.routes {
        assert_eq!(route.by_state.values().map(|share| share.time_ns).sum::<u64>(), route.time_ns, "{route:?}");
        let in_flight = route.time_ns as f64 / report.duration_ns as f64;
        assert!((route.in_flight_mean - in_flight).abs() < 1e-9);
        assert!(
            route.by_state.values().all(|share| share.low <= share.share && share.share <= share.high),
            "{route:?}"
        );
    }

    for (name, state) in DOMINATING {
        let of_it: Vec<&Route> = report.routes.iter().filter(|route| is_at(&route.route, name)).collect();
        let time: u64 = of_it.iter().map(|route| route.time_ns).sum();
        let in_state: u64 = of_it.iter().filter_map(|route| route.by_state.get(state)).map(|share| share.time_ns).sum();
        assert!(time > 0 && in_state as f64 > 0.8 * time as f64, "{name}: {of_it:?}");
    }

    // Who is said to have a trace id was served by the goroutine that the service says, and asked for what the load did.
    let served: HashSet<(&str, &str, u64)> = logged
        .iter()
        .map(|request| (request.path.as_str(), request.ids.trace().map_or("", |(trace, _)| trace), request.goroutine))
        .collect();
    let traced: Vec<&Request> = report.requests.iter().filter(|request| !request.trace_id.is_empty()).collect();
    assert!(traced.len() * 2 > report.requests.len(), "{} of {}", traced.len(), report.requests.len());
    for request in &traced {
        // Ids of eight bytes may be filled up.
        let end = request.trace_id.trim_start_matches('0');
        let is_it = |(path, trace, goroutine): &(&str, &str, u64)| {
            *path == request.path && *goroutine == request.goroutine && trace.trim_start_matches('0') == end
        };
        assert!(served.iter().any(is_it), "{request:?}");
    }
    let sent_traces: HashSet<&str> = sent.iter().map(|request| request.trace.trim_start_matches('0')).collect();
    let of_load = traced.iter().filter(|request| !request.path.starts_with("/elsewhere"));
    for request in of_load {
        assert!(sent_traces.contains(request.trace_id.trim_start_matches('0')), "{request:?}");
    }
    assert!(report.requests.iter().any(|request| request.request_id.starts_with("request-")));

    // A handler that only sleeps takes as long as it was told to, to a tick and what the scheduler adds.
    let mut sleeps: Vec<u64> =
        report.requests.iter().filter(|request| request.path == "/sleep").map(|request| request.duration_ns).collect();
    sleeps.sort_unstable();
    let median = sleeps[sleeps.len() / 2];
    assert!(median.abs_diff(DELAY_NS) <= 2 * report.tick_ns, "{median}");

    // Four or five listeners, one of them for what the service asks itself.
    assert!(report.idle_mean["accepting"] > service.addresses.len() as f64, "{:?}", report.idle_mean);
}

/// Whether a route is that of a path of one part, `lock` of `GET /lock`.
fn is_at(route: &str, name: &str) -> bool {
    route.rsplit_once('/').is_some_and(|(method, last)| last == name && !method.contains('/'))
}
