//! Which request: what is read of a service under load, and how a recording is sliced by it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fgspy_fixtures::requests::{Load, Service};
use regex::Regex;
use serde_json::Value;

use crate::common::{fgspy, folder, newest, program, record, report, run};

/// A service, asked by somebody.
struct Busy {
    service: Service,
    load: Load,
}

fn busy() -> Busy {
    let binary = program("requests", &newest());
    let service = Service::start(&binary, &[], &[]).unwrap();
    let load = Load::start(&binary, &service.addresses, &["-clients=8"]).unwrap();
    Busy { service, load }
}

impl Busy {
    /// Records it for a second, with these arguments; and what was said then.
    fn recorded(&mut self, folder: &Path, arguments: &[&str]) -> (PathBuf, String) {
        let mut command = record(self.service.fixture.pid(), folder);
        command.args(["-d", "1s", "-o", "profile.fgspy", "--max-cpu", "unlimited"]).args(arguments);
        let said = run(command).succeeded().stderr;
        self.load.must_run().unwrap();
        (folder.join("profile.fgspy"), said)
    }
}

fn json(recording: &Path, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = ["-f", "json"].iter().chain(arguments).copied().collect();
    serde_json::from_slice(&report(recording, &arguments)).unwrap()
}

fn rows<'a>(profile: &'a Value, table: &str) -> &'a [Value] {
    profile[table].as_array().unwrap()
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap()
}

/// Nanoseconds of the samples that satisfy a condition on their request, if they have one.
fn time(profile: &Value, wanted: impl Fn(&Value, Option<&Value>) -> bool) -> u64 {
    let request =
        |sample: &Value| Some(&rows(profile, "requests")[usize::try_from(sample["request"].as_u64()?).unwrap()]);
    let wanted = rows(profile, "samples").iter().filter(|sample| wanted(sample, request(sample)));
    wanted.map(|sample| sample["time_ns"].as_u64().unwrap()).sum()
}

fn all(profile: &Value) -> u64 {
    time(profile, |_, _| true)
}

#[test]
fn a_recording_is_sliced_by_request_route_and_trace() {
    let mut busy = busy();
    let folder = folder();
    let (recording, said) = busy.recorded(folder.path(), &[]);
    let line = Regex::new("(?m)^  Requests: (\\d+) seen on (\\d+) routes; [\\d.]+% of goroutine time in requests, [\\d.]+% idle connections and workers, [\\d.]+% unknown\\.$").unwrap();
    let told = line.captures(&said).unwrap_or_else(|| panic!("{said}"));
    let whole = json(&recording, &[]);
    let serving = &whole["totals"]["serving"];
    assert_eq!(told[1].parse::<u64>().unwrap(), serving["requests"].as_u64().unwrap());
    assert_eq!(told[2].parse::<u64>().unwrap(), serving["routes"].as_u64().unwrap());
    assert!(rows(&whole, "requests").len() > 20, "{said}");
    assert!(
        rows(&whole, "requests").iter().all(|request| !text(request, "path").contains('?')),
        "queries are not kept"
    );

    // Each filter keeps what the whole says is its.
    let in_cpu = |_: &Value, request: Option<&Value>| request.is_some_and(|request| text(request, "path") == "/cpu");
    let kept = json(&recording, &["--request", "^[A-Z]+ /cpu$"]);
    assert!(all(&kept) > 0 && all(&kept) == time(&whole, in_cpu));
    assert!(rows(&kept, "requests").iter().all(|request| text(request, "path") == "/cpu"));

    let trace =
        rows(&whole, "requests").iter().map(|request| text(request, "trace_id")).find(|id| !id.is_empty()).unwrap();
    let of_trace =
        |_: &Value, request: Option<&Value>| request.is_some_and(|request| text(request, "trace_id") == trace);
    let kept = json(&recording, &["--trace", &trace.to_uppercase()]);
    assert!(all(&kept) > 0 && all(&kept) == time(&whole, of_trace));

    let busy_ones = |sample: &Value, _: Option<&Value>| text(sample, "serving") != "idle";
    let kept = json(&recording, &["--no-idle"]);
    assert!(all(&kept) < all(&whole) && all(&kept) == time(&whole, busy_ones));

    // The roots of the stacks, with their times, are those of the table of routes.
    let folded = String::from_utf8(report(&recording, &["-f", "folded", "--group-by", "route"])).unwrap();
    let mut roots: BTreeMap<&str, u64> = BTreeMap::new();
    for line in folded.lines() {
        let (stack, microseconds) = line.rsplit_once(' ').unwrap();
        *roots.entry(stack.split(';').next().unwrap()).or_default() += microseconds.parse::<u64>().unwrap();
    }
    for row in rows(&whole, "routes") {
        let (route, exact) = (text(row, "route"), row["time_ns"].as_u64().unwrap() / 1000);
        let got = roots.get(route).copied().unwrap_or(0);
        assert!(got.abs_diff(exact) <= folded.lines().count() as u64, "{route}: {got} µs, not {exact}");
    }
    assert!(roots.contains_key("[idle: connection]") && roots.contains_key("[idle: accepting]"), "{roots:?}");

    // A rule of the user's own.
    let ruled = json(&recording, &["--route-regex", "^\\w+ (/[^/]*)"]);
    let routes: Vec<&str> = rows(&ruled, "routes").iter().map(|row| text(row, "route")).collect();
    assert!(routes.contains(&"/cpu") && routes.iter().all(|route| !route.contains(' ')), "{routes:?}");
    busy.load.end().unwrap();
}

#[test]
fn no_more_is_read_of_requests_than_is_wanted() {
    let mut busy = busy();
    let folder = folder();
    let (recording, said) = busy.recorded(folder.path(), &["--no-requests"]);
    let profile = json(&recording, &[]);
    assert!(!said.contains("Requests: ") && profile["totals"]["serving"].is_null(), "{said}");
    assert!(rows(&profile, "requests").is_empty());
    assert!(rows(&profile, "samples").iter().all(|sample| sample["serving"] == "unknown"));

    let profile = json(&busy.recorded(folder.path(), &["--no-request-data"]).0, &[]);
    let requests = rows(&profile, "requests");
    assert!(requests.len() > 20);
    for request in requests {
        for key in ["method", "path", "pattern", "route", "trace_id", "span_id", "request_id"] {
            assert_eq!(request[key], "", "{key}");
        }
    }

    let profile = json(&busy.recorded(folder.path(), &["--keep-query"]).0, &[]);
    let with_query = rows(&profile, "requests").iter().filter(|request| text(request, "path").contains('?'));
    assert!(with_query.count() > 0);
    assert!(rows(&profile, "routes").iter().all(|row| !text(row, "route").contains('?')));
    busy.load.end().unwrap();
}

#[test]
fn a_mistyped_route_is_answered_with_those_there_are() {
    let mut busy = busy();
    let folder = folder();
    let (_, said) = busy.recorded(folder.path(), &["--request", "^GET /cqu$"]);
    assert!(said.starts_with("Nothing that was recorded matches the filter. All of it:\n"), "{said}");
    let routes = said.lines().find_map(|line| line.strip_prefix("  routes: ")).unwrap_or_else(|| panic!("{said}"));
    assert!(routes.contains("/cpu"), "{routes}");
    busy.load.end().unwrap();
}

#[test]
fn words_that_make_no_sense_are_refused() {
    for (arguments, words) in [
        (["--group-by", "label"], "stacks cannot be grouped by `label`; choose one of request, route, state, creator"),
        (["--request", "("], "unclosed group"),
    ] {
        let mut command = fgspy();
        command.args(["report", "none.fgspy"]).args(arguments);
        let outcome = run(command);
        assert_eq!(outcome.code(), 2);
        outcome.says(words);
    }
}
