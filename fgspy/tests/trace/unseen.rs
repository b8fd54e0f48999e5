//! What the probes do not see is said.

use std::collections::BTreeMap;

use fgspy_fixtures::requests::{Load, Service, by_goroutine};
use fgspy_fixtures::{Fixture, Signal, skip};
use serde::Deserialize;

use crate::common::quota::Quota;
use crate::common::{Outcome, Running, fgspy, newest, oldest_and_newest, program, run};
use crate::served::lines;
use crate::{may_trace, service};

#[derive(Debug, Deserialize)]
struct InFlight {
    route: String,
    path: String,
    goroutine: u64,
    began: String,
    ended: bool,
    at_least_ns: u64,
}

#[derive(Debug, Deserialize)]
struct Whole {
    start_ns: i64,
    end_ns: i64,
    hits: u64,
    began_before: u64,
    overhead: f64,
    allowed_cpus: Option<f64>,
    quota_cpus: Option<f64>,
}

fn held(arguments: &[&str]) -> Fixture {
    Fixture::spawn(&program("held", &newest()), arguments).unwrap()
}

/// Tells the service something, and waits for its answer.
fn tell(service: &mut Fixture, line: &str, answer: &str) {
    service.tell(line).unwrap();
    assert_eq!(service.line().unwrap(), answer);
}

fn trace(service: &Fixture, arguments: &[&str]) -> Running {
    let mut command = fgspy();
    command.args(["trace", "-p", &service.pid().to_string()]).args(arguments);
    let running = Running::start(command);
    running.until_said("The probes are set");
    running
}

fn output(outcome: Outcome) -> String {
    String::from_utf8(outcome.succeeded().stdout).unwrap()
}

/// How many there are of each route, and of those that are as they should be.
fn by_route(requests: &[InFlight]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    requests.iter().for_each(|one| *counts.entry(one.route.as_str()).or_default() += 1);
    counts
}

const KINDS: [&str; 4] = ["GET /events", "GET /poll/", "GET /poll2/", "GET /socket"];

/// The patterns of long polls are read from Go 1.22 on.
const OLD_KINDS: [&str; 4] = ["GET /events", "GET /poll/{id}", "GET /poll2/{id}", "GET /socket"];

#[test]
fn requests_that_began_before_the_probes_and_go_on() {
    let Some(_turn) = may_trace("requests_that_began_before_the_probes_and_go_on") else { return };
    let [oldest, newest] = oldest_and_newest();
    for (toolchain, kinds) in [(oldest, OLD_KINDS), (newest, KINDS)] {
        let service = Fixture::spawn(&program("held", &toolchain), [""; 0]).unwrap();
        sixteen_began_before(service, kinds);
    }
}

fn sixteen_began_before(mut service: Fixture, kinds: [&str; 4]) {
    tell(&mut service, "hold 4", "held");
    let mut running = trace(&service, &["-d", "1s", "-f", "json"]);
    let outcome = running.wait().succeeded();
    outcome.says("16 requests began before the probes were set, and did not end: their time is not in the table.");
    let json = output(outcome);
    let (requests, whole) = (lines::<InFlight>(&json, "in_flight"), &lines::<Whole>(&json, "trace")[0]);
    assert_eq!(by_route(&requests), BTreeMap::from(kinds.map(|kind| (kind, 4))), "{json}");
    assert_eq!(whole.began_before, 16);
    for one in &requests {
        assert!(one.began == "before the probes" && !one.ended, "{one:?}");
        // To the last look at it, which comes after the end.
        assert!(one.at_least_ns as i64 >= whole.end_ns - whole.start_ns, "{one:?}: {whole:?}");
    }
    let mut running = trace(&service, &["-d", "500ms"]);
    let table = output(running.wait());
    assert!(table.contains("No request of net/http or gRPC began and ended while the probes were set."), "{table}");
    for kind in kinds {
        let row = table.lines().find(|line| line.contains(kind)).unwrap_or_else(|| panic!("{table}"));
        let is_row = row.split_whitespace().next() == Some("4") && row.contains('≥');
        assert!(is_row && row.ends_with("began before the probes, did not end"), "{row}");
    }
    tell(&mut service, "release", "released");
}

#[test]
fn requests_that_began_before_the_probes_and_end_meanwhile() {
    let Some(_turn) = may_trace("requests_that_began_before_the_probes_and_end_meanwhile") else { return };
    let mut service = held(&[]);
    tell(&mut service, "hold 2", "held");
    let mut running = trace(&service, &["-f", "json"]);
    tell(&mut service, "release", "released");
    tell(&mut service, "short 20", "short");
    running.signal(Signal::INT);
    let outcome = running.wait().succeeded();
    outcome.says("8 requests began before the probes were set, and ended meanwhile: their time is not in the table.");
    let json = output(outcome);
    let requests = lines::<InFlight>(&json, "in_flight");
    assert_eq!(by_route(&requests), BTreeMap::from(KINDS.map(|kind| (kind, 2))), "{json}");
    assert!(requests.iter().all(|one| one.began == "before the probes" && one.ended), "{requests:?}");
    assert_eq!(json.lines().filter(|line| line.contains(r#""kind":"request""#)).count(), 20, "{json}");
}

#[test]
fn requests_that_begin_meanwhile_and_go_on() {
    let Some(_turn) = may_trace("requests_that_begin_meanwhile_and_go_on") else { return };
    let mut service = held(&[]);
    let mut running = trace(&service, &["-f", "json"]);
    tell(&mut service, "hold 3", "held");
    running.signal(Signal::INT);
    let outcome = running.wait().succeeded();
    outcome.says("12 requests had not ended when the trace ended: their time is not in the table.");
    outcome.does_not_say("began before the probes");
    let json = output(outcome);
    let requests = lines::<InFlight>(&json, "in_flight");
    assert_eq!(requests.len(), 12, "{json}");
    assert!(requests.iter().all(|one| one.began == "while tracing" && !one.ended), "{requests:?}");
    tell(&mut service, "release", "released");
}

#[test]
fn only_what_was_asked_for_is_in_flight() {
    let Some(_turn) = may_trace("only_what_was_asked_for_is_in_flight") else { return };
    let mut service = held(&[]);
    tell(&mut service, "hold 3", "held");
    let mut running = trace(&service, &["-d", "200ms", "-f", "json", "--route", "GET /poll/{id}"]);
    let json = output(running.wait());
    let requests = lines::<InFlight>(&json, "in_flight");
    assert_eq!(by_route(&requests), BTreeMap::from([("GET /poll/", 3)]), "{json}");
    tell(&mut service, "release", "released");
}

/// A gRPC call through `net/http` has two goroutines that serve it, and is one request.
#[test]
fn streams_of_grpc_began_before_the_probes() {
    let Some(_turn) = may_trace("streams_of_grpc_began_before_the_probes") else { return };
    if let Err(reason) = fgspy_fixtures::fetch_modules("grpc", &newest()) {
        return skip("streams_of_grpc_began_before_the_probes", &format!("{reason:#}"));
    }
    let binary = program("grpc", &newest());
    let service = Service::start(&binary, &["-delay=1s"], &[]).unwrap();
    for way in ["own", "workers", "http", "xnet"] {
        let ways = service.addresses.iter().filter(|(name, _)| name.as_str() == way);
        // Each of the clients makes one call after the other, so that nearly always three are made.
        let load = Load::start(&binary, ways, &["-clients=3", "-only=Sleep"]).unwrap();
        let mut running = trace(&service.fixture, &["-d", "100ms", "-f", "json"]);
        let json = output(running.wait());
        let mut requests = lines::<InFlight>(&json, "in_flight");
        requests.retain(|one| one.began == "before the probes");
        assert!((1..=3).contains(&requests.len()), "{way}: {json}");
        assert!(requests.iter().all(|one| one.route.ends_with("/Sleep")), "{way}: {json}");
        load.end().unwrap();
    }
}

/// Connections that serve one request after the other: who is said to have begun before the probes did, by the service's own log.
#[test]
fn who_is_said_to_have_begun_before_did() {
    let Some(_turn) = may_trace("who_is_said_to_have_begun_before_did") else { return };
    let (mut service, load) = service();
    let mut json = String::new();
    for _ in 0..10 {
        let mut command = fgspy();
        command.args(["trace", "-p", &service.fixture.pid().to_string(), "-d", "100ms", "-f", "json"]);
        json += &output(run(command));
    }
    load.end().unwrap();
    let log = service.log().unwrap();
    let log = by_goroutine(&log);
    let (mut start_ns, mut found) = (0, 0);
    for line in json.lines() {
        if let [whole] = &lines::<Begin>(line, "begin")[..] {
            start_ns = whole.start_ns;
        }
        for one in lines::<InFlight>(line, "in_flight").iter().filter(|one| one.began == "before the probes") {
            let its = log.get(&one.goroutine).into_iter().flatten();
            // The probe at its end comes a little later than the handler's last word.
            let is_it = its
                .into_iter()
                .any(|said| said.path == one.path && said.start <= start_ns && said.end + 5_000_000 > start_ns);
            assert!(is_it, "{one:?} began after {start_ns}");
            found += 1;
        }
    }
    assert!(found > 10, "{found} were found");
}

#[derive(Debug, Deserialize)]
struct Begin {
    start_ns: i64,
}

#[test]
fn probes_that_are_not_in_the_code_are_a_failure() {
    let Some(_turn) = may_trace("probes_that_are_not_in_the_code_are_a_failure") else { return };
    let service = held(&["-remap"]);
    for states in ["on", "off"] {
        let mut command = fgspy();
        command.args(["trace", "-p", &service.pid().to_string(), "-d", "10s", "--states", states]);
        let outcome = run(command);
        assert_eq!(outcome.code(), 1, "{}", outcome.stderr);
        assert!(outcome.stdout.is_empty());
        outcome.says("does not run the code in which the probes were set");
        outcome.says("Its code is not mapped from the file");
    }
}

/// A tenth of a core is all that the program may use, so that probes could never take 15 % of one.
#[test]
fn what_a_program_may_use_is_what_counts() {
    let Some(_turn) = may_trace("what_a_program_may_use_is_what_counts") else { return };
    let quota = match Quota::new(0.1) {
        Ok(quota) => quota,
        Err(reason) => return skip("what_a_program_may_use_is_what_counts", &reason),
    };
    let mut service = held(&[]);
    tell(&mut service, "churn", "churning");
    quota.take(service.pid());
    let mut running = trace(&service, &["--max-overhead", "15%", "-f", "json"]);
    let outcome = running.wait().succeeded();
    outcome.says("of what it may use (0.10 CPUs, the quota of its cgroup)");
    outcome.says("of what the program may use: --max-overhead allows more");
    let json = output(outcome);
    let whole = &lines::<Whole>(&json, "trace")[0];
    assert_eq!((whole.quota_cpus, whole.allowed_cpus), (Some(0.1), Some(0.1)), "{whole:?}");
    assert!(whole.hits > 0 && whole.overhead < 0.15, "{whole:?}");
    drop(service);
}
