//! What is said of requests is what the service says itself.

use std::collections::{BTreeMap, HashMap};

use fgspy_fixtures::requests::{LoggedRequest, by_goroutine};
use fgspy_profile::{Protocol, route};
use serde::Deserialize;

use crate::common::{fgspy, run};
use crate::{may_trace, service, service_asked};

#[derive(Debug, Deserialize)]
struct Request {
    route: String,
    method: String,
    path: String,
    id: String,
    goroutine: u64,
    end: String,
    begin_ns: i64,
    end_ns: i64,
    by_state_ns: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
struct Route {
    route: String,
    count: usize,
    p50_ns: i64,
    p99_ns: i64,
}

/// Lines of a kind.
pub(crate) fn lines<T: serde::de::DeserializeOwned>(output: &str, kind: &str) -> Vec<T> {
    let is_kind = |line: &&str| line.contains(&format!("\"kind\":\"{kind}\""));
    output.lines().filter(is_kind).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the service said, by goroutine.
struct Log<'a>(HashMap<u64, Vec<&'a LoggedRequest>>);

impl<'a> Log<'a> {
    /// Compares what is said of a request with what the service said of it.
    fn compare(&self, request: &Request) -> &'a LoggedRequest {
        let mut inside = self.0.get(&request.goroutine).into_iter().flatten();
        let said = inside.find(|said| request.begin_ns <= said.start && said.end <= request.end_ns);
        let said = said.unwrap_or_else(|| panic!("the service knows nothing of {request:?}"));
        assert_eq!((&request.method, &request.path), (&said.method, &said.path));
        // By the pattern that it matched, or, where that was not to be had, by its path.
        let by = |pattern| route(Protocol::Http1, &said.method, &said.path, pattern);
        assert!(request.route == by(&said.route) || request.route == by(""), "{request:?}: {said:?}");
        said
    }
}

fn quantile(sorted: &[i64], q: f64) -> i64 {
    sorted[((sorted.len() as f64 * q).ceil() as usize).clamp(1, sorted.len()) - 1]
}

fn within(a: i64, b: i64, part: f64) -> bool {
    (a as f64 / b as f64 - 1.0).abs() <= part
}

#[test]
fn percentiles_are_those_that_the_service_measured() {
    let Some(_turn) = may_trace("percentiles_are_those_that_the_service_measured") else { return };
    let (mut service, load) = service();
    let mut command = fgspy();
    command.args(["trace", "-p", &service.fixture.pid().to_string(), "-d", "2s", "-f", "json"]);
    let outcome = run(command).succeeded();
    outcome.says("Probes were hit");
    load.end().unwrap();
    let log = service.log().unwrap();
    let output = String::from_utf8(outcome.stdout).unwrap();
    assert!(!output.contains("secret"), "what is no id is nobody's business");
    let (requests, routes) = (lines::<Request>(&output, "request"), lines::<Route>(&output, "route"));
    let whole = &lines::<Whole>(&output, "trace")[0];
    let log = Log(by_goroutine(&log));
    let (mut handled, mut without_id) = (BTreeMap::<&str, Vec<i64>>::new(), 0);
    for request in &requests {
        assert!(request.end_ns - request.begin_ns == request.by_state_ns.values().sum::<u64>() as i64, "{request:?}");
        let said = log.compare(request);
        let many_headers = said.path.starts_with("/headers/");
        if let Some((trace, _)) = said.ids.trace().filter(|_| !many_headers) {
            assert!(request.id == trace || request.id.is_empty(), "{request:?} is {said:?}");
            without_id += u64::from(request.id.is_empty());
        }
        // Only who took its connection over does not return to net/http.
        assert!(request.end == "handler returned" || said.path.starts_with("/hijack"), "{request:?}");
        handled.entry(&request.route).or_default().push(said.end - said.start);
    }
    // A probe cannot wait for a page that is not there, and says so.
    assert!(without_id <= whole.unreadable, "{without_id} have no id: {whole:?}");
    let mut off_at_p99 = Vec::new();
    for route in &routes {
        let times = handled.get_mut(route.route.as_str()).unwrap();
        times.sort_unstable();
        assert_eq!(route.count, times.len(), "{route:?}");
        let (p50, p99) = (quantile(times, 0.5), quantile(times, 0.99));
        // What net/http does before and after a handler is no part of it: some 50 µs.
        if p50 > 2_000_000
            && route.count >= 100
            && !route.route.contains("/hijack")
            && !route.route.contains("/timeout")
        {
            assert!(within(route.p50_ns, p50, 0.05), "{route:?}: p50 is {p50}");
            off_at_p99.push((route.p99_ns as f64 / p99 as f64 - 1.0).abs());
        }
    }
    assert!(off_at_p99.len() >= 5, "{} of {} routes", off_at_p99.len(), routes.len());
    // The slowest few of a route may have been held up between the two clocks, on a machine that is busy.
    off_at_p99.sort_by(f64::total_cmp);
    assert!(off_at_p99[off_at_p99.len() / 2] <= 0.05, "{off_at_p99:?}");
}

#[test]
fn the_table_says_what_was_asked_for() {
    let Some(_turn) = may_trace("the_table_says_what_was_asked_for") else { return };
    let (service, load) = service();
    let mut command = fgspy();
    command.args(["trace", "-p", &service.fixture.pid().to_string(), "-d", "1s", "--route", "GET /lock"]);
    let output = String::from_utf8(run(command).succeeded().stdout).unwrap();
    load.end().unwrap();
    assert!(output.lines().all(|line| line.chars().count() <= 100), "{output}");
    assert!(output.contains("of 1 route\n"), "{output}");
    for words in [
        " running ",
        "GET /lock",
        "sync.(*Mutex).Lock ← main.lock",
        "SLOWEST REQUESTS",
        "Probes were hit",
        " 0 events were lost",
    ] {
        assert!(output.contains(words), "{words} is missing in\n{output}");
    }
    assert!(!output.contains("/sleep"), "{output}");
    // Not all that is running is on a CPU, and only another command can tell.
    assert!(!output.contains("on-CPU") && !output.contains("  CPU"), "{output}");
}

#[derive(Debug, Deserialize)]
struct Place {
    route: Option<String>,
    by_child: bool,
    stack: Vec<String>,
}

#[test]
fn waits_of_goroutines_that_a_request_started_are_marked() {
    let Some(_turn) = may_trace("waits_of_goroutines_that_a_request_started_are_marked") else { return };
    let (service, load) = service_asked(|way| way == "http1", &["-clients=4", "-paths=/fan-out"]);
    let pid = service.fixture.pid().to_string();
    let trace = |arguments: &[&str]| {
        let mut command = fgspy();
        command.args(["trace", "-p", &pid, "-d", "1s"]).args(arguments);
        String::from_utf8(run(command).succeeded().stdout).unwrap()
    };
    let (table, json) = (trace(&[]), trace(&["-f", "json"]));
    load.end().unwrap();
    let places = lines::<Place>(&json, "place");
    let of_route: Vec<&Place> = places.iter().filter(|place| place.route.as_deref() == Some("GET /fan-out")).collect();
    for place in &of_route {
        // Who serves waits in the handler, who was started for it below the function that it was started with.
        let serves = place.stack.iter().any(|name| name == "net/http.(*conn).serve");
        assert_eq!(place.by_child, !serves, "{place:?}");
    }
    assert!(of_route.iter().any(|place| place.by_child) && of_route.iter().any(|place| !place.by_child), "{json}");
    let at = |words: &str| table.find(words).unwrap_or_else(|| panic!("{words} is missing in\n{table}"));
    let marked = at("goroutines that it started, at the same time:");
    assert!(at("sync.(*WaitGroup).Wait ←") < marked && marked < at("time.Sleep ← main.fanOut.func1"), "{table}");
}

#[derive(Debug, Deserialize)]
struct Goroutines {
    by_state_ns: BTreeMap<String, u64>,
}

/// The kernel keeps goroutines between their requests then, and does not see what they do.
#[test]
fn without_states_none_is_made_up() {
    let Some(_turn) = may_trace("without_states_none_is_made_up") else { return };
    let (mut service, load) = service();
    let mut command = fgspy();
    command.args(["trace", "-p", &service.fixture.pid().to_string(), "-d", "1s", "-f", "json", "--states", "off"]);
    let output = String::from_utf8(run(command).succeeded().stdout).unwrap();
    load.end().unwrap();
    let log = service.log().unwrap();
    let (requests, goroutines) = (lines::<Request>(&output, "request"), lines::<Goroutines>(&output, "goroutines"));
    assert!(requests.len() > 100 && requests.iter().all(|one| one.by_state_ns.is_empty()), "{output}");
    assert!(goroutines.len() == 1 && goroutines[0].by_state_ns.is_empty(), "{goroutines:?}");
    let log = Log(by_goroutine(&log));
    for request in &requests {
        log.compare(request);
        assert_eq!(request.end, "handler returned", "{request:?}");
    }
}

#[derive(Debug, Deserialize)]
struct Whole {
    unreadable: u64,
    pattern_gone: u64,
    unended: u64,
}

/// From Go 1.27 on HTTP/2 keeps a request only as long as its handler wants it.
#[test]
fn the_pattern_of_a_request_whose_memory_is_anothers_is_its_own() {
    let Some(_turn) = may_trace("the_pattern_of_a_request_whose_memory_is_anothers_is_its_own") else { return };
    let (service, load) = service_asked(|way| way == "h2c", &["-clients=2", "-paths=/forgotten"]);
    for (states, are_gone) in [("on", false), ("off", true)] {
        let mut command = fgspy();
        let pid = service.fixture.pid().to_string();
        command.args(["trace", "-p", &pid, "-d", "1s", "-f", "json", "--states", states]);
        let output = String::from_utf8(run(command).succeeded().stdout).unwrap();
        let (requests, whole) = (lines::<Request>(&output, "request"), lines::<Whole>(&output, "trace"));
        assert!(requests.len() > 10, "{output}");
        assert!(requests.iter().all(|request| request.route == "GET /forgotten"), "{output}");
        assert!(whole.iter().all(|whole| (whole.pattern_gone > 0) == are_gone && whole.unended == 0), "{whole:?}");
    }
    load.end().unwrap();
}
