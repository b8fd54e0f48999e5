//! A trace as text.

use std::fmt::Write as _;

use fgspy_export::summary;
use fgspy_probes::{CLASSES, OneRequest, Place, Times, class};
use fgspy_profile::{Class, Phase, Profile, StackId};

use super::capture::{Ended, Taken};
use super::waits::Placed;
use super::{overhead, unfinished};
use crate::args::trace::{States, TraceArgs};
use crate::requests::{live_view, telling};
use crate::terminal::style::{Style, clean, cut, left, right, wrap};
use crate::terminal::table::{self, Column, Row};

/// Columns before where a wait was.
const WAITS_BEFORE: usize = 52;
/// Places that are listed for a route.
const PLACES: usize = 3;

/// What a goroutine does that has a thread, whether a CPU runs that thread or not.
const RUNNING: &str = "running";

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
    taken: &Taken<'_>,
    profile: &Profile,
    places: &Placed,
    columns: usize,
    style: Style,
) -> Vec<String> {
    let mut routes: Vec<_> = taken.trace.routes().iter().collect();
    routes.sort_by_key(|(_, route)| std::cmp::Reverse(route.durations.sum()));
    let count: u64 = routes.iter().map(|(_, route)| route.durations.count()).sum();
    let mut lines = vec![format!(
        "{}: {} traced, {} of {}",
        live_view::title(&profile.target),
        summary::time(taken.duration_ns()),
        many(count, "request"),
        many(routes.len() as u64, "route")
    )];
    lines.extend(ending(taken.ended).map(str::to_owned));
    lines.push(String::new());
    if routes.is_empty() {
        lines.extend(wrap(none(args, taken), columns));
        lines.push(String::new());
    } else {
        let rows: Vec<Row> = routes.iter().take(args.limit).map(|(name, route)| row(name, route)).collect();
        lines.extend(table::titled(&TABLE, &rows, columns, style, RUNNING));
        if routes.len() > args.limit {
            lines.push(style.dim(&format!("and {} more; --limit {0} shows them too", routes.len() - args.limit)));
        }
        lines.push(String::new());
    }
    lines.extend(unfinished::table(taken, args.limit, columns, style));
    if args.states == States::On {
        lines.extend(waits(args, taken, profile, places, columns, style));
        lines.extend(slowest(args, taken, columns, style));
    }
    lines.extend(closing(taken).iter().flat_map(|line| wrap(&format!("- {line}"), columns)));
    lines
}

fn none(args: &TraceArgs, taken: &Taken<'_>) -> &'static str {
    let is_one_there = taken.earlier.requests().next().is_some() || taken.trace.open().next().is_some();
    match (args.request.is_some() || args.route.is_some() || args.trace.is_some(), is_one_there) {
        (true, true) => "No request that was asked for began and ended while the probes were set.",
        (false, true) => "No request of net/http or gRPC began and ended while the probes were set.",
        (true, false) => "No request that was asked for was served meanwhile.",
        (false, false) => "No request of net/http or gRPC was served meanwhile.",
    }
}

fn row(name: &str, route: &fgspy_probes::Route) -> Row {
    let quantile = |q| short(route.durations.quantile(q));
    let mut own = [0; CLASSES];
    own.iter_mut().zip(&route.by_class).for_each(|(sum, all)| *sum = all.sum());
    Row {
        route: name.to_owned(),
        cells: vec![
            route.durations.count().to_string(),
            quantile(0.5),
            quantile(0.9),
            quantile(0.99),
            short(route.durations.longest()),
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

/// A time with three digits.
fn short(ns: u64) -> String {
    summary::time(ns)
}

fn waits(
    args: &TraceArgs,
    taken: &Taken<'_>,
    profile: &Profile,
    places: &Placed,
    columns: usize,
    style: Style,
) -> Vec<String> {
    let mut lines = Vec::new();
    let routes = taken.trace.routes();
    let mut names: Vec<&String> = routes.keys().collect();
    names.sort_by_key(|name| std::cmp::Reverse(routes.get(*name).map_or(0, |route| route.durations.sum())));
    for name in names.into_iter().take(args.limit) {
        let room = columns.saturating_sub(WAITS_BEFORE);
        let its = |by_child: bool| {
            let of_route =
                |(place, _): &&(Place, StackId)| place.route.as_ref() == Some(name) && place.by_child == by_child;
            told(profile, room, places.iter().filter(of_route))
        };
        let (own, children) = (its(false), its(true));
        if own.is_empty() && children.is_empty() {
            continue;
        }
        lines.push(style.bold(&cut(&clean(name), columns)));
        lines.extend(own.into_iter().take(PLACES).map(|told| wait(&told, columns, style)));
        if !children.is_empty() {
            lines.push(cut("  goroutines that it started, at the same time:", columns));
        }
        lines.extend(children.into_iter().take(PLACES).map(|told| wait(&told, columns, style)));
    }
    if !lines.is_empty() {
        let title = format!("WHERE THEY WAITED, {} and longer", short(args.block_threshold.as_nanos() as u64));
        lines.insert(0, style.bold(&title));
        lines.insert(1, String::new());
        lines.push(String::new());
    }
    lines
}

/// A line for waits at one place.
fn wait(told: &Told, columns: usize, style: Style) -> String {
    let word = left(&style.phase(told.phase, phase_word(told.phase)), 8);
    let line = format!(
        "  {} {word} {} waits, longest {}  {}",
        right(&short(told.total_ns), 8),
        right(&told.count.to_string(), 5),
        left(&short(told.longest_ns), 8),
        told.line
    );
    fit(&line, columns)
}

/// The word for a phase. What the Go runtime calls running is not all on a CPU, which `fgspy requests` can tell.
fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::OnCpu => RUNNING,
        _ => phase.word(),
    }
}

/// Waits that are told in the same words.
struct Told {
    phase: Phase,
    line: String,
    count: u64,
    total_ns: u64,
    longest_ns: u64,
}

/// Places, those put together that a reader cannot tell apart; the longest sums first.
fn told<'a>(profile: &Profile, room: usize, places: impl Iterator<Item = &'a (Place, StackId)>) -> Vec<Told> {
    let mut all: Vec<Told> = Vec::new();
    for (place, stack) in places {
        let (phase, line) = (Phase::of(class(place.class)), cut(&telling::line(profile, *stack), room));
        match all.iter_mut().find(|told| told.phase == phase && told.line == line) {
            Some(told) => {
                told.count += place.count;
                told.total_ns += place.total_ns;
                told.longest_ns = told.longest_ns.max(place.longest_ns);
            }
            None => all.push(Told {
                phase,
                line,
                count: place.count,
                total_ns: place.total_ns,
                longest_ns: place.longest_ns,
            }),
        }
    }
    all.sort_by_key(|told| std::cmp::Reverse(told.total_ns));
    all
}

/// Cuts a line that may have colours: none is cut in two, because they come before the text.
fn fit(line: &str, columns: usize) -> String {
    let extra = line.chars().count().saturating_sub(crate::terminal::style::width(line));
    cut(line, columns + extra)
}

fn slowest(args: &TraceArgs, taken: &Taken<'_>, columns: usize, style: Style) -> Vec<String> {
    let requests = taken.trace.slowest();
    if requests.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![style.bold("SLOWEST REQUESTS"), String::new()];
    for one in requests.iter().take(args.limit) {
        let id = identity(one);
        let room = columns.saturating_sub(12 + id.chars().count());
        let name = left(&cut(&clean(&format!("{} {}", one.method, one.path)), room), room);
        lines.push(format!("{}  {name}  {id}", right(&short(one.duration_ns()), 8)));
        lines.push(fit(&format!("          {}", breakdown(&one.own_ns, style)), columns));
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
        format!("{} {} ({})", style.phase(phase, phase_word(phase)), short(time), summary::percent(time, all))
    });
    said.collect::<Vec<_>>().join(" · ")
}

/// The trace id, or what else says which request it was; empty if nothing that is one does. What a header holds that is no
/// id is nobody's business.
pub(super) fn identity(one: &OneRequest) -> String {
    let [traceparent, b3, b3_trace, _, uber, request_id] = one.headers.values.each_ref().map(|value| text(value));
    let part = |text: &str, separator: char, at: usize| text.split(separator).nth(at).unwrap_or_default().to_owned();
    let traces = [part(&traceparent, '-', 1), part(&b3, '-', 0), b3_trace, part(&uber, ':', 0)];
    traces.into_iter().find(|id| is_id(id)).unwrap_or(request_id)
}

fn text(value: &[u8]) -> String {
    clean(&String::from_utf8_lossy(value))
}

/// The digits of a trace id, as many as W3C's or half of it.
fn is_id(text: &str) -> bool {
    matches!(text.len(), 8..=32)
        && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        && text.bytes().any(|byte| byte != b'0')
}

fn ending(ended: Ended) -> Option<&'static str> {
    match ended {
        Ended::Duration | Ended::Stopped => None,
        Ended::TargetExited => Some("The program ended; this is what was traced until then."),
        Ended::TargetReplaced => Some("The program replaced itself by another; this is what was traced until then."),
        Ended::NotWritten => Some("Tracing ended because what was recorded could not be written."),
        Ended::TooDear { .. } => Some("The probes were taken out before the time was over: see below."),
    }
}

/// What tracing took from the target.
fn cost(taken: &Taken<'_>) -> String {
    let counts = &taken.counts;
    let mut line = format!(
        "Probes were hit {} times, at {:.1} µs a hit, measured here, so tracing took about {:.1}% of one core from the program",
        counts.all_hits(),
        taken.hit_ns() / 1e3,
        100.0 * taken.overhead(),
    );
    if let (Some(least), Some(words)) = (taken.allowance.least(), overhead::words(taken.allowance)) {
        let _ = write!(line, ": {:.1}% of what it may use ({words})", 100.0 * taken.overhead() / least.max(1e-9));
    }
    let _ = write!(
        line,
        ". {:.1} µs of a hit is the trap ({:.1} at an instruction that the kernel has to step through).",
        taken.traps.emulated_ns / 1e3,
        taken.traps.stepped_ns / 1e3
    );
    if let Ended::TooDear { share } = taken.ended {
        let base = overhead::base(taken.allowance);
        let of = if base < 1.0 { "what the program may use" } else { "one core" };
        let _ = write!(
            line,
            " They were taken out when that became {:.0}% of {of}: --max-overhead allows more; --route, --request, --trace or \
             --states off cost less.",
            100.0 * share / base
        );
    }
    line
}

/// What "running" stands for, beside what the kernel says.
fn running(taken: &Taken<'_>) -> String {
    let running = super::waits::totals(taken).first().copied().unwrap_or(0);
    let mut line =
        "running is what the Go runtime calls so: a goroutine whose thread the kernel does not run is running too \
                    (preempted, or out of quota); `fgspy requests` tells that apart."
            .to_owned();
    if let Some(used) = taken.used {
        let used = summary::time(u64::try_from(used.as_nanos()).unwrap_or(u64::MAX));
        let _ = write!(line, " Goroutines were running for {}, and the process used {used} of CPU.", short(running));
    }
    line
}

/// What was seen, lost, and what it cost.
pub(super) fn closing(taken: &Taken<'_>) -> Vec<String> {
    let counts = &taken.counts;
    let mut lines = vec![cost(taken)];
    let all = taken.gone.iter().map(|gone| gone.transitions).sum::<u64>()
        + taken.goroutines.iter().map(|goroutine| goroutine.transitions).sum::<u64>();
    // Goroutines that only requests were asked of are forgotten with these.
    let of_requests: u64 = taken.trace.routes().values().map(|route| route.transitions).sum();
    lines.push(format!(
        "{} of state were seen; {} of events were lost, {} contradicted what was known.",
        many(all.max(of_requests), "change"),
        counts.lost,
        counts.contradicted
    ));
    if all > 0 {
        lines.push(running(taken));
    }
    if counts.lost > 0 {
        lines.push("What was lost is missing from lists; sums of requests that were seen to end are whole.".to_owned());
    }
    for (number, what) in [
        (counts.full, "goroutines or requests beyond what is kept at a time were not followed"),
        (
            counts.unreadable,
            "times the program's memory could not be read: a probe cannot wait for a page that is not there",
        ),
        (counts.headers_unread, "requests had so many headers that none was read"),
        (counts.headers_gone, "slow requests had other headers when they ended: which request it was is not told"),
        (
            counts.pattern_gone,
            "requests had left memory at their end, with the pattern that they had matched, if they had: their route is by path",
        ),
        (
            taken.trace.unended(),
            "requests ended unseen, and are left out: the handler panicked or took the connection over",
        ),
        (counts.malformed, "records made no sense"),
        (taken.trace.unknown(), "requests ended that had begun before, or whose beginning was lost"),
        (taken.stream.dropped() + taken.trace.dropped(), "entries were left out because there were too many"),
    ] {
        if number > 0 {
            lines.push(format!("{number} {what}."));
        }
    }
    lines.extend(unfinished::sentences(taken));
    lines
}

fn many(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The word for a class, for files.
pub(super) fn word(number: u8) -> &'static str {
    match class(number) {
        Class::RunningOffCpu => Class::Running.word(),
        class => class.word(),
    }
}
