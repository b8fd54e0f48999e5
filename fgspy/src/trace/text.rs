//! The report of a trace as text: routes, the slowest requests, and what is in the modules beside this one.

use fgspy_probes::{CLASSES, Times};
use fgspy_probes::{PlacedWaits, class};
use fgspy_profile::{Phase, Profile, units};

use super::capture::{Capture, EndReason};
use super::words::{RUNNING, identity, phase_word};
use super::{accounting, unfinished, waits};
use crate::args::trace::{States, TraceArgs};
use crate::terminal::escape::clean;
use crate::terminal::numbers::{self, count};
use crate::terminal::style::Style;
use crate::terminal::table::{self, Column, Row};
use crate::terminal::text::{cut, cut_styled, left, right, wrap};

const TABLE: [Column; 5] = [
    Column { title: "COUNT", keep: 4.0 },
    Column { title: "P50", keep: 3.0 },
    Column { title: "P90", keep: 0.5 },
    Column { title: "P99", keep: 3.5 },
    Column { title: "LONGEST", keep: 0.6 },
];

/// The whole report.
pub(super) fn lines(
    args: &TraceArgs,
    capture: &Capture<'_>,
    profile: &Profile,
    places: &[PlacedWaits],
    columns: usize,
    style: Style,
) -> Vec<String> {
    let mut routes: Vec<_> = capture.trace.routes().iter().collect();
    routes.sort_by_key(|(_, route)| std::cmp::Reverse(route.durations.sum()));
    let number: u64 = routes.iter().map(|(_, route)| route.durations.count()).sum();
    let mut lines = vec![format!(
        "{}: {} traced, {} of {}",
        numbers::process(&profile.target),
        units::time(capture.duration_ns()),
        count(number, "request"),
        count(routes.len() as u64, "route")
    )];
    lines.extend(ending(capture.end_reason).map(str::to_owned));
    lines.push(String::new());
    if routes.is_empty() {
        lines.extend(wrap(none(args, capture), columns));
        lines.push(String::new());
    } else {
        let rows: Vec<Row> = routes.iter().take(args.limit).map(|(name, route)| row(name, route)).collect();
        lines.extend(table::titled(&TABLE, &rows, columns, style, RUNNING));
        if routes.len() > args.limit {
            lines.push(style.dim(&format!("and {} more; --limit {0} shows them too", routes.len() - args.limit)));
        }
        lines.push(String::new());
    }
    lines.extend(unfinished::table(capture, args.limit, columns, style));
    if args.states == States::On {
        lines.extend(waits::lines(args, capture, profile, places, columns, style));
        lines.extend(slowest(args, capture, columns, style));
    }
    lines.extend(accounting::sentences(capture).iter().flat_map(|line| wrap(&format!("- {line}"), columns)));
    lines
}

fn none(args: &TraceArgs, capture: &Capture<'_>) -> &'static str {
    let is_one_there = capture.earlier.requests().next().is_some() || capture.trace.open().next().is_some();
    match (args.request.is_some() || args.route.is_some() || args.trace.is_some(), is_one_there) {
        (true, true) => "No selected request began and ended while the probes were set.",
        (false, true) => "No request of net/http or gRPC began and ended while the probes were set.",
        (true, false) => "No selected request was served during the trace.",
        (false, false) => "No request of net/http or gRPC was served during the trace.",
    }
}

fn row(name: &str, route: &fgspy_probes::Route) -> Row {
    let quantile = |q| units::time(route.durations.quantile(q));
    let mut own = [0; CLASSES];
    own.iter_mut().zip(&route.by_class).for_each(|(sum, all)| *sum = all.sum());
    Row {
        route: name.to_owned(),
        cells: vec![
            route.durations.count().to_string(),
            quantile(0.5),
            quantile(0.9),
            quantile(0.99),
            units::time(route.durations.longest()),
        ],
        shares: shares(&own),
        weight: route.durations.sum() as f64,
    }
}

/// By phase, of all of it.
fn shares(times: &Times) -> [f64; Phase::COUNT] {
    let all = times.iter().sum::<u64>().max(1) as f64;
    let mut shares = [0.0; Phase::COUNT];
    for (number, time) in (0u8..).zip(times) {
        if let Some(share) = shares.get_mut(Phase::of(class(number)).index()) {
            *share += *time as f64 / all;
        }
    }
    shares
}

fn slowest(args: &TraceArgs, capture: &Capture<'_>, columns: usize, style: Style) -> Vec<String> {
    let requests = capture.trace.slowest();
    if requests.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![style.bold("SLOWEST REQUESTS"), String::new()];
    for one in requests.iter().take(args.limit) {
        let id = identity(one);
        let room = columns.saturating_sub(12 + id.chars().count());
        let name = left(&cut(&clean(&format!("{} {}", one.method, one.path)), room), room);
        lines.push(format!("{}  {name}  {id}", right(&units::time(one.duration_ns()), 8)));
        lines.push(cut_styled(&format!("          {}", breakdown(&one.own_ns, style)), columns));
    }
    lines.push(String::new());
    lines
}

/// `lock 40% · sleep 39%`, the most first.
fn breakdown(times: &Times, style: Style) -> String {
    let all = times.iter().sum::<u64>().max(1);
    let mut parts: Vec<(Phase, u64)> = Phase::ALL
        .into_iter()
        .map(|phase| {
            let of_phase = (0u8..).zip(times).filter(|(number, _)| Phase::of(class(*number)) == phase);
            (phase, of_phase.map(|(_, time)| *time).sum())
        })
        .filter(|(_, time)| *time > 0)
        .collect();
    parts.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    let said = parts.into_iter().map(|(phase, time)| {
        format!("{} {} ({})", style.phase(phase, phase_word(phase)), units::time(time), units::percent(time, all))
    });
    said.collect::<Vec<_>>().join(" · ")
}

fn ending(reason: EndReason) -> Option<&'static str> {
    match reason {
        EndReason::Duration | EndReason::Stopped => None,
        EndReason::TargetExited => Some("The program ended; this is what was traced until then."),
        EndReason::TargetReplaced => {
            Some("The program replaced itself by another; this is what was traced until then.")
        }
        EndReason::NotWritten => Some("Tracing ended because the output could not be written."),
        EndReason::TooExpensive { .. } => Some("The probes were removed before the time was over: see below."),
    }
}
