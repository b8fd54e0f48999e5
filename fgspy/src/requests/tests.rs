//! The report of a recording of which everything is known, word for word.

use clap::Parser;
use fgspy_profile::{
    Accounting, Builder, Idle, NewRequest, Profile, RequestFindings, SampleKey, Serving, Sighting, Span, StackGrouping,
    State, Target,
};
use fgspy_sampler::Ended;
use serde_json::Value;

use super::{json, text};
use crate::args::requests::RequestsArgs;
use crate::args::{Cli, Command};
use crate::terminal::style::Style;
use crate::terminal::text::width;

const MS: u64 = 1_000_000;
/// How long the recording is.
const LENGTH: u64 = 2000 * MS;

struct Recording(Builder);

impl Recording {
    /// Adds time of a goroutine; `frames` are leaf first.
    fn add(&mut self, serving: Serving, goid: u64, frames: &[&str], doing: &str, ticks: u64) {
        let locations: Vec<_> = frames.iter().map(|name| self.0.synthetic(name)).collect();
        let (state, wait_reason) = self.doing(doing);
        let (stack, labels) = (self.0.stack(&locations), self.0.labels(&[]));
        let key = SampleKey { stack, goid, state, wait_reason, labels, creator: None, serving };
        self.0.add(key, ticks, ticks * 10 * MS);
    }

    fn doing(&mut self, doing: &str) -> (State, Option<fgspy_profile::StringId>) {
        match State::from_word(doing) {
            Some(state) => (state, None),
            None => (State::Waiting, Some(self.0.string(doing))),
        }
    }

    /// Adds a request that is served by `goid` and goes through these states, from a tick on, for so many ticks each.
    fn request(&mut self, path: &str, trace_id: &str, goid: u64, tick: u64, doing: &[(&str, u64)]) -> Serving {
        let mut spans = Vec::new();
        let mut from_ns = tick * 10 * MS;
        for &(doing, ticks) in doing {
            let (state, wait_reason) = self.doing(doing);
            let to_ns = from_ns + ticks * 10 * MS;
            spans.push(Span { from_ns, to_ns, goid, state, wait_reason });
            from_ns = to_ns;
        }
        let (first_ns, last_ns) = (tick * 10 * MS, from_ns);
        // Each look is in the period after the one that it stands for.
        let sighting = Some(Sighting {
            absent_ns: Some(first_ns + 3 * MS).filter(|_| tick > 0),
            first_ns: first_ns + 13 * MS,
            last_ns: last_ns + 3 * MS,
            gone_ns: Some(last_ns + 13 * MS).filter(|_| last_ns < LENGTH),
        });
        let new = NewRequest {
            method: "GET",
            path,
            trace_id,
            goid,
            first_ns,
            last_ns,
            sighting,
            spans,
            ..Default::default()
        };
        Serving::Request(self.0.request(new))
    }
}

/// Two seconds of 100 ticks each: orders wait for a lock below a cache, and start children that sleep.
fn recording() -> Profile {
    let target =
        Target { pid: 4711, executable: "/srv/checkout".into(), go_version: "go1.27.3".into(), ..Target::default() };
    let mut all = Recording(Builder::new(target, 1_700_000_000_000_000_000));
    let lock = ["sync.(*Mutex).Lock", "shop/store.(*Cache).Get", "main.order", "net/http.HandlerFunc.ServeHTTP"];
    let read = ["net.(*conn).Read", "github.com/lib/pq.(*conn).recv", "main.order", "net/http.HandlerFunc.ServeHTTP"];
    for number in 0..4 {
        let goid = 20 + number;
        let path = format!("/orders/{}", 17 + number);
        let trace = format!("{:032x}", 0x4bf9_2f35_77b3_4da6_u64 + number);
        let ticks = [("sync.Mutex.Lock", 20 + number), ("IO wait", 10), ("running", 2)];
        let request = all.request(&path, &trace, goid, 10 + 40 * number, &ticks);
        all.add(request, goid, &lock, "sync.Mutex.Lock", 20 + number);
        all.add(request, goid, &read, "IO wait", 10);
        all.add(request, goid, &["main.order"], "running", 2);
        all.add(request, 100 + number, &["time.Sleep", "main.audit"], "sleep", 5);
    }
    let long = all.request("/export", "", 30, 150, &[("chan receive", 50)]);
    all.add(long, 30, &["runtime.chanrecv1", "main.export"], "chan receive", 50);
    for number in 0..30 {
        let short = all.request("/health", "", 40, 5 * number, &[("runnable", 1)]);
        all.add(short, 40, &["main.health"], "runnable", 1);
    }
    all.add(Serving::Idle(Idle::Accepting), 5, &["net.accept"], "IO wait", 200);
    all.add(Serving::Idle(Idle::Connection), 40, &["net.(*conn).Read"], "IO wait", 170);
    all.add(Serving::Unknown, 41, &["main.order"], "running", 2);
    all.add(Serving::Nothing, 1, &["main.main"], "select", 200);
    let ticks = Accounting {
        rate_hz: 100.0,
        ticks: 200,
        accepted: 900,
        goroutine_ticks: 900,
        own_cpu_ns: 30 * MS,
        remarks: vec!["a remark".into()],
        ..Accounting::default()
    };
    all.0.finish(LENGTH, ticks)
}

fn arguments(arguments: &[&str]) -> RequestsArgs {
    let all = ["fgspy", "requests", "-p", "1"].iter().chain(arguments);
    match Cli::parse_from(all).command {
        Command::Requests(args) => args,
        other => panic!("{other:?}"),
    }
}

fn lines(profile: &Profile, given: &[&str], columns: usize) -> Vec<String> {
    let args = arguments(given);
    let found = RequestFindings::new(profile, &args.selection.selection(), args.sort.into(), StackGrouping::ByLine);
    text::lines(&found, Ended::Duration, args.limit.unwrap_or(10), columns, Style::PLAIN)
}

#[test]
fn a_report_of_a_hundred_columns() {
    let found = lines(&recording(), &["--limit", "3"], 100);
    insta::assert_snapshot!("report_of_a_hundred_columns", found.join("\n"));
    assert!(found.iter().all(|line| width(line) <= 100));
}

#[test]
fn a_narrow_report_says_the_same_in_more_lines() {
    for columns in [40, 60, 80] {
        let found = lines(&recording(), &[], columns);
        let long: Vec<&String> = found.iter().filter(|line| width(line) > columns).collect();
        assert!(long.is_empty(), "{columns}: {long:?}");
        assert!(found.iter().any(|line| line.contains("00000000000000004bf92f3577b34da6")), "{columns}");
    }
}

#[test]
fn a_choice_that_leaves_nothing_names_what_there_is() {
    let found = lines(&recording(), &["--route", "/nothing"], 100).join("\n");
    assert!(
        found.contains("No request matches. The routes that were seen: GET /orders/{id}, GET /export, GET /health."),
        "{found}"
    );
    let one = lines(&recording(), &["--trace", "00000000000000004bf92f3577b34da7"], 100);
    assert!(one[0].contains("1 request seen"), "{one:?}");
    assert!(
        one.iter().any(|line| line.contains("GET /orders/18")) && !one.iter().any(|line| line.contains("/orders/17"))
    );
}

#[test]
fn without_requests_it_says_why() {
    let mut profile = recording();
    profile.samples.retain(|sample| sample.serving.request().is_none());
    profile.requests.clear();
    assert!(lines(&profile, &[], 100).join(" ").contains("no request was seen at any tick"));
    profile.samples.retain(|sample| [Serving::Nothing, Serving::Idle(Idle::Accepting)].contains(&sample.serving));
    assert!(lines(&profile, &[], 100).join(" ").contains("No HTTP or gRPC server was seen in this program"));
}

#[test]
fn what_was_not_read_at_every_tick_is_rough() {
    let mut profile = recording();
    profile.accounting.accepted = 450;
    let found = lines(&profile, &[], 100);
    assert_eq!(
        found[1..3],
        [
            "For many requests only a lower bound (≥) of their time is known: 50.0% of the goroutines were read",
            "at a tick. Sums and shares are still correct. A higher --max-cpu reads more.",
        ]
    );
    assert!(
        found.iter().any(|line| line.starts_with("GET /orders/{id}") && line.contains("~335 ms   350 ms")),
        "{found:?}"
    );
}

#[test]
fn json() {
    let profile = recording();
    let args = arguments(&["--sort", "requests"]);
    let found = RequestFindings::new(&profile, &args.selection.selection(), args.sort.into(), StackGrouping::Exact);
    let mut out = Vec::new();
    json::write(&found, Ended::TargetExited, 2, 1, &mut out).unwrap();
    // The last digits of intervals depend on the order in which their parts were added.
    let digits = regex::Regex::new(r"(\d\.\d{6})\d+").unwrap();
    insta::assert_snapshot!("report_as_json", digits.replace_all(&String::from_utf8_lossy(&out), "$1"));
    let json: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((json["format"].as_str(), json["version"].as_u64()), (Some("fgspy-requests"), Some(1)));
    assert_eq!((json["duration_ns"].as_u64(), json["tick_ns"].as_u64()), (Some(2000 * MS), Some(10 * MS)));
    assert_eq!((json["requests_seen"].as_u64(), json["all_were_read"].as_bool()), (Some(35), Some(true)));
    let routes = json["routes"].as_array().unwrap();
    assert_eq!(routes.iter().map(|route| &route["route"]).collect::<Vec<_>>(), ["GET /health", "GET /orders/{id}"]);
    assert_eq!((&routes[0]["seen_once"], &routes[0]["mean_is"]), (&30.into(), &"at most".into()));
    let orders = &routes[1];
    assert_eq!(
        (&orders["seen"], &orders["time_ns"], &orders["mean_is"]),
        (&4.into(), &(1340 * MS).into(), &"exact".into())
    );
    assert_eq!((&orders["mean_ns"], &orders["longest_ns"]), (&(335 * MS).into(), &(350 * MS).into()));
    assert_eq!(orders["by_state"]["lock"]["time_ns"], 860 * MS);
    assert_eq!(orders["by_state"]["on_cpu"]["share"], 80.0 / 1340.0);
    let (low, high) = (&orders["by_state"]["lock"]["low"], &orders["by_state"]["lock"]["high"]);
    assert!(low.as_f64().unwrap() < 0.64 && high.as_f64().unwrap() > 0.65, "{low} {high}");
    assert_eq!(orders["stacks"][0]["frames"][1], "shop/store.(*Cache).Get");
    assert_eq!((&orders["children"]["goroutines"], &orders["children"]["time_ns"]), (&4.into(), &(200 * MS).into()));
    let slowest = &json["requests"].as_array().unwrap()[..];
    assert_eq!((slowest.len(), &slowest[0]["path"], &slowest[0]["goes_on"]), (1, &"/export".into(), &true.into()));
    assert_eq!(slowest[0]["spans"][0]["state"], "channel");
    assert_eq!((&json["idle_mean"]["accepting"], &json["unknown_ns"]), (&1.0.into(), &(20 * MS).into()));
    assert!(json["notes"][0].as_str().unwrap().starts_with("The target exited"));
}

/// After a tick that came late, 5 ms requests that it found are credited with the whole time before it.
#[test]
fn a_late_tick_makes_no_slow_requests() {
    let mut profile = recording();
    let health = |profile: &Profile, index: usize| profile.string(profile.requests[index].path) == "/health";
    let first = (0..profile.requests.len()).find(|&index| health(&profile, index)).unwrap();
    let once = |at_ns, before_ns| Sighting {
        absent_ns: Some(at_ns - before_ns),
        first_ns: at_ns,
        last_ns: at_ns,
        gone_ns: Some(at_ns + 10 * MS),
    };
    // Two were there at the same late look, which stood for 600 ms; one was seen at two looks 10 ms apart after 200 ms.
    for index in [first, first + 1] {
        profile.requests[index].sighting = Some(once(900 * MS, 600 * MS));
        profile.requests[index].first_ns = 300 * MS;
        profile.requests[index].last_ns = 900 * MS;
        profile.requests[index].spans[0].from_ns = 300 * MS;
        profile.requests[index].spans[0].to_ns = 900 * MS;
    }
    let twice = Sighting { last_ns: 910 * MS, gone_ns: Some(920 * MS), ..once(900 * MS, 200 * MS) };
    profile.requests[first + 2].sighting = Some(twice);
    let found = lines(&profile, &["--limit", "40"], 100);
    let row = found.iter().find(|line| line.starts_with("GET /health")).unwrap();
    assert!(row.contains("≤10 ms   ≤20 ms"), "{row}");
    let head = found.iter().position(|line| line.starts_with("SLOWEST REQUESTS")).unwrap();
    let slowest: Vec<&str> =
        found[head..].iter().filter(|line| line.contains("GET ")).map(|line| line.trim()).collect();
    assert!(slowest[0].starts_with("≥490 ms   GET /export") && slowest[1].starts_with("350 ms   GET /orders/"));
    let health: Vec<&&str> = slowest.iter().filter(|line| line.contains("GET /health")).collect();
    assert!(health[..28].iter().all(|line| line.starts_with("≤20 ms") || line.starts_with("≥10 ms")), "{health:?}");
    assert!(health[28..].iter().all(|line| line.starts_with("≤610 ms")), "{health:?}");
    let line = found.iter().position(|line| line.contains("≤610 ms")).unwrap();
    let below: Vec<&str> = found[line + 1].split_whitespace().collect();
    assert_eq!(below, ["R", "runnable", "100%"], "one look is one letter");
}

/// Two thirds on the CPU, in many places with little time each, and the rest runnable in a few.
#[test]
fn places_on_the_cpu_are_listed_also_where_each_has_little_time() {
    let mut all = Recording(Builder::new(Target::default(), 0));
    let serving = all.request("/busy", "", 7, 10, &[("running", 120), ("runnable", 60)]);
    for place in 0..60 {
        all.add(serving, 7, &[&format!("main.step{place}"), "main.busy"], "running", 2 + u64::from(place < 3));
    }
    for place in ["main.a", "main.b", "main.c", "main.d"] {
        all.add(serving, 7, &[place, "main.busy"], "runnable", 15);
    }
    let ticks = Accounting { rate_hz: 100.0, ticks: 200, accepted: 183, goroutine_ticks: 183, ..Accounting::default() };
    let found = lines(&all.0.finish(LENGTH, ticks), &[], 100);
    let at = found.iter().position(|line| line.starts_with("  on-CPU 67%")).unwrap_or_else(|| panic!("{found:#?}"));
    let places: Vec<Vec<&str>> = found[at + 1..]
        .iter()
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_whitespace().collect())
        .collect();
    let of = |phase: &str| places.iter().filter(|words| words[2] == phase).map(|words| words[3]).collect::<Vec<_>>();
    assert_eq!(of("on-CPU"), ["main.step0", "main.step1", "main.step2"]);
    assert_eq!(of("runnable"), ["main.a", "main.b", "main.c"]);
    assert!(places.iter().all(|words| words[1].starts_with('±')), "{places:?}");
}
