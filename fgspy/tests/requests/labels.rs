//! Goroutines that a request starts, and which have the labels that a tracer gave to the request's, are part of the request.

use std::collections::HashSet;

use fgspy_fixtures::requests::{Load, LoggedRequest, Service, by_goroutine};

use crate::common::{newest, program};
use crate::report::{Request, watch};

/// Clients of the load, each of which always awaits an answer.
const CLIENTS: f64 = 6.0;

#[test]
fn a_request_with_labelled_goroutines_is_one_request() {
    let binary = program("requests", &newest());
    for tracer in ["pyroscope", "opentelemetry", "datadog"] {
        let labels = format!("-labels={tracer}");
        let mut service = Service::start(&binary, &["-delay=60ms", &labels], &[]).unwrap();
        let address = service.addresses.get_key_value("http1").unwrap();
        let arguments = [&format!("-clients={CLIENTS}"), "-paths=/fan-out,/timeout,/sleep"];
        let mut load = Load::start(&binary, [address], &arguments).unwrap();
        let report = watch(service.fixture.pid(), "2s");
        load.must_run().unwrap();
        load.end().unwrap();
        let log = service.log().unwrap();
        let logged = by_goroutine(&log);
        assert!(report.requests_seen > 100, "{tracer}: {report:?}");
        // Each is one that the service knows, and no two are the same one.
        let mut known: HashSet<(u64, i64)> = HashSet::new();
        let mut unsure = 0;
        for request in &report.requests {
            assert_eq!(request.protocol, "http/1", "{tracer}: {request:?}");
            let trace = |one: &LoggedRequest| one.ids.trace().map_or(String::new(), |(trace, _)| trace.to_owned());
            let is_it = |one: &&&LoggedRequest, request: &Request| {
                let trace = trace(one);
                one.path == request.path && !trace.is_empty() && request.trace_id.ends_with(&trace)
            };
            match logged.get(&request.goroutine).into_iter().flatten().find(|one| is_it(one, request)) {
                Some(one) => assert!(known.insert((one.goroutine, one.start)), "{tracer}: {request:?} is there twice"),
                None => {
                    assert!(request.trace_id.is_empty(), "{tracer}: {request:?}");
                    unsure += 1;
                }
            }
        }
        assert!(unsure < report.requests_seen / 3, "{tracer}: {unsure} without a trace");
        let routes: Vec<&str> = report.routes.iter().map(|route| route.route.as_str()).collect();
        assert!(report.routes.len() == 3 && routes.iter().all(|route| route.contains(" /")), "{tracer}: {routes:?}");
        // As many are in flight as there are clients, but for the moments between an answer and the next request.
        let in_flight: f64 = report.routes.iter().map(|route| route.in_flight_mean).sum();
        assert!(in_flight <= CLIENTS + 1e-6 && in_flight > 0.8 * CLIENTS, "{tracer}: {in_flight} in flight");
    }
}
