//! The reports of a trace of which every event is known.

use std::time::Duration;

use clap::Parser;
use fgspy_memory::Allowance;
use fgspy_probes::{CLASSES, Counts, Event, Headers, RUNNING, SYSCALL, SiteKind, TrapCost};
use fgspy_probes::{OlderRequests, PlacedWaits, number};
use fgspy_profile::{Builder, Class, Profile, Target};

use super::capture::{Capture, EndReason};
use super::stream::Stream;
use super::{json, json_lines, text};
use crate::args::trace::TraceArgs;
use crate::args::{Cli, Command};
use crate::terminal::style::Style;

const MS: u64 = 1_000_000;

fn begin(request: u64, path: &str) -> Event {
    let (goid, method, path) = (request + 100, b"GET".to_vec(), path.as_bytes().to_vec());
    let time_ns = request * 20 * MS;
    Event::RequestBegin { time_ns, g: goid << 10, goid, parent: None, request, site: SiteKind::HttpBegin, method, path }
}

/// A request that runs for 1 ms, is in a system call for half of that, and otherwise waits for a lock.
fn end(request: u64, took_ns: u64, pattern: &str) -> Event {
    let mut own_ns = [0; CLASSES];
    own_ns[usize::from(RUNNING)] = MS;
    own_ns[usize::from(SYSCALL)] = MS / 2;
    own_ns[usize::from(number(Class::Mutex))] = took_ns - MS - MS / 2;
    let (goid, begin_ns) = (request + 100, request * 20 * MS);
    Event::RequestEnd {
        time_ns: begin_ns + took_ns,
        begin_ns,
        g: goid << 10,
        goid,
        request,
        how: fgspy_probes::EndReason::Marked,
        own_ns,
        children_ns: [0; CLASSES],
        children: 0,
        transitions: 6,
        route: pattern.as_bytes().to_vec(),
    }
}

fn blocked(request: u64, took_ns: u64) -> Event {
    let (goid, since_ns) = (request + 100, request * 20 * MS);
    Event::Blocked {
        time_ns: since_ns + took_ns,
        since_ns,
        g: goid << 10,
        goid,
        class: number(Class::Mutex),
        reason: 1,
        by: Some(4),
        request: Some(request),
        stack: vec![0x10, 0x20],
    }
}

/// One second with 20 requests of one route, one of another, and one that does not end.
fn capture() -> Capture<'static> {
    let traps = TrapCost { emulated_ns: 700.0, stepped_ns: 9900.0 };
    let allowance = Allowance { quota: Some(0.5), cpus: Some(2) };
    let mut capture = Capture::new(OlderRequests::none(0), Stream::None, (traps, &[]), 0, allowance);
    for request in 1..=20 {
        capture.add(begin(request, &format!("/orders/{request}")));
        let mut headers = Headers::default();
        headers.values[0] = format!("00-{:032x}-{:016x}-01", 0x4bf9_2f35_u64 + request, 1).into_bytes();
        capture.add(Event::RequestIds { request, headers });
        capture.add(blocked(request, (1 + request / 2) * MS));
        capture.add(end(request, (2 + request / 2) * MS + MS / 2, "GET /orders/{id}"));
    }
    capture.add(begin(30, "/\x1b[2Jodd"));
    capture.add(end(30, 5 * MS, ""));
    capture.add(begin(31, "/export"));
    capture.end_ns = 1000 * MS;
    capture.used = Some(Duration::from_millis(40));
    let mut hits = [0; SiteKind::ALL.len()];
    hits[0] = 500;
    capture.counts = Counts { hits, unreadable: 3, pattern_gone: 1, ..Counts::default() };
    capture
}

/// The profile of that trace: every wait has the same stack.
fn profile(capture: &Capture<'_>) -> (Profile, Vec<PlacedWaits>) {
    let target =
        Target { pid: 4711, executable: "/srv/checkout".into(), go_version: "go1.27.3".into(), ..Target::default() };
    let mut builder = Builder::new(target, 0);
    let frames = ["sync.(*Mutex).Lock", "shop/store.(*Cache).Get", "main.order"].map(|name| builder.synthetic(name));
    let stack = builder.stack(&frames);
    let places = capture.trace.places().into_iter().map(|waits| PlacedWaits { waits, stack }).collect();
    (builder.finish(capture.duration_ns(), Default::default()), places)
}

fn arguments(arguments: &[&str]) -> TraceArgs {
    match Cli::parse_from(["fgspy", "trace", "-p", "1"].iter().chain(arguments)).command {
        Command::Trace(args) => args,
        other => panic!("{other:?}"),
    }
}

fn report(capture: &Capture<'_>, given: &[&str]) -> String {
    let (profile, places) = profile(capture);
    text::lines(&arguments(given), capture, &profile, &places, 100, Style::PLAIN).join("\n")
}

#[test]
fn a_report_of_a_hundred_columns() {
    insta::assert_snapshot!("report", report(&capture(), &["--limit", "3"]));
}

#[test]
fn a_report_without_requests_that_ended_too_early() {
    let mut capture = capture();
    capture.trace = fgspy_probes::Trace::new(Default::default());
    capture.end_reason = EndReason::TooExpensive { share: 0.31 };
    capture.counts.lost = 12;
    insta::assert_snapshot!("report_without_requests", report(&capture, &["--route", "/x"]));
}

#[test]
fn lines_of_json() {
    let capture = capture();
    let (profile, places) = profile(&capture);
    let mut out = Vec::new();
    json_lines::begin(&profile.target, 0, &mut out);
    json_lines::request(&capture.trace.slowest()[0], &mut out);
    json::write(&capture, &profile, &places, &mut out).unwrap();
    insta::assert_snapshot!("json", String::from_utf8(out).unwrap());
}
