//! Calls of gRPC are requests of their method, however they are served.

use std::collections::HashMap;

use fgspy_fixtures::requests::{Load, LoggedRequest, Service, by_goroutine};
use fgspy_fixtures::{fetch_modules, skip};

use crate::common::{newest, program};
use crate::report::watch;

#[test]
fn calls_are_those_that_the_service_logged() {
    let toolchain = newest();
    if let Err(error) = fetch_modules("grpc", &toolchain) {
        return skip("program grpc", &format!("{error:#}"));
    }
    let binary = program("grpc", &toolchain);
    let mut service = Service::start(&binary, &[], &[]).unwrap();
    let mut load = Load::start(&binary, &service.addresses, &["-clients=8"]).unwrap();
    let report = watch(service.fixture.pid(), "2s");
    load.must_run().unwrap();
    load.end().unwrap();
    let log = service.log().unwrap();
    let logged = by_goroutine(&log);
    assert_eq!(report.requests.len() as u64, report.routes.iter().map(|route| route.seen).sum::<u64>());
    let mut by_listener: HashMap<&str, u32> = HashMap::new();
    for call in &report.requests {
        assert_eq!(call.protocol, "grpc", "{call:?}");
        let same = |one: &&&LoggedRequest| {
            let trace = one.ids.trace().map_or("", |(trace, _)| trace);
            one.path == call.path && (call.trace_id.is_empty() || call.trace_id.ends_with(trace))
        };
        let of_goroutine = logged.get(&call.goroutine).into_iter().flatten();
        let found = of_goroutine.clone().find(same);
        let found = found.unwrap_or_else(|| panic!("{call:?} is none of {:?}", of_goroutine.collect::<Vec<_>>()));
        *by_listener.entry(&found.listener).or_default() += 1;
    }
    let ways = ["own", "workers", "http", "xnet"];
    assert!(ways.iter().all(|way| by_listener.get(way).is_some_and(|calls| *calls > 10)), "{by_listener:?}");
    // A call that came through net/http is one request, that of gRPC's goroutine: the other one only moves its bytes. Where only
    // that one was seen, before it started gRPC's, the request is its.
    let carried = ["net/http", "x/net"].map(|way| by_listener.get(way).copied().unwrap_or(0));
    assert!(carried.iter().sum::<u32>() * 20 < by_listener["http"] + by_listener["xnet"], "{by_listener:?}");
    let mut traces: Vec<&str> = report.requests.iter().map(|call| call.trace_id.as_str()).collect();
    traces.retain(|trace| !trace.is_empty());
    traces.sort_unstable();
    let calls = traces.len();
    traces.dedup();
    assert_eq!(traces.len(), calls, "a call is there twice");
    // A route is the full method.
    assert!(report.routes.iter().all(|route| route.route.starts_with('/')), "{:?}", report.routes);
}
