//! The report: routes, where their time goes, the slowest requests, and what is not known.

use fgspy_profile::{
    Breakdown, Phase, Profile, Request, RequestBreakdown, RequestFindings, RouteBreakdown, StackTime, short_stack,
    timeline_phases, timeline_window, units,
};
use fgspy_sampler::Ended;

use super::{notes, timeline};
use crate::ending;
use crate::terminal::escape::clean;
use crate::terminal::numbers;
use crate::terminal::style::Style;
use crate::terminal::table::{self, Column, NO_ROUTE, Row};
use crate::terminal::text::{cut, left, right, width, wrap};

/// The columns of the table. Durations are in other parts of the report too, so they go first.
const COLUMNS: [Column; 4] = [
    Column { title: "SEEN", keep: 2.0 },
    Column { title: "IN FLIGHT", keep: 3.0 },
    Column { title: "MEAN", keep: 0.1 },
    Column { title: "LONGEST", keep: 0.03 },
];
/// Places shown of each route.
const PLACES: usize = 3;
/// Places with less of the time than this are not worth a line.
const LEAST_SHARE: f64 = 0.02;
/// Phases with so much of the time have a line for one of their places at least.
const LEAST_PHASE: f64 = 0.02;
/// Goroutines that requests started are worth a line if their time is at least this part of the requests' own.
const LEAST_CHILDREN: f64 = 0.05;
/// What a time line is made of stands beside it if there is so much room.
const LEAST_ROOM: usize = 24;
/// Columns before the name of a slow request.
const INDENT: usize = 12;
/// The greatest length of a time line.
const TIMELINE: usize = 40;

/// The report in lines of about so many columns.
pub(super) fn lines(
    found: &RequestFindings<'_>,
    ended: Ended,
    limit: usize,
    columns: usize,
    style: Style,
) -> Vec<String> {
    let mut lines = wrap(&head(found), columns);
    lines.extend(ending::early_sentence(ended));
    notes::rough(found).iter().for_each(|note| lines.extend(wrap(note, columns)));
    if found.routes.is_empty() {
        lines.push(String::new());
        notes::why_nothing(found).iter().for_each(|note| lines.extend(wrap(note, columns)));
    } else {
        let shown: Vec<&RouteBreakdown> = found.routes.iter().take(limit).collect();
        lines.push(String::new());
        let rows: Vec<Row> = shown.iter().map(|route| row(found, route)).collect();
        lines.extend(table::lines(&COLUMNS, &rows, columns, style));
        let more = found.routes.len() - shown.len();
        lines.extend((more > 0).then(|| style.dim(&format!("and {more} more: --limit {}", found.routes.len()))));
        lines.extend([String::new(), style.bold("WHERE THE TIME GOES")]);
        shown.iter().for_each(|route| lines.extend(places(found, route, columns, style)));
        lines.push(String::new());
        lines.extend(slowest(found, limit, columns, style));
    }
    lines.push(String::new());
    notes::notes(found).iter().for_each(|note| lines.extend(wrap(&format!("- {note}"), columns)));
    lines
}

fn head(found: &RequestFindings<'_>) -> String {
    format!(
        "{}: {}, {}, {} in flight on average",
        numbers::process(&found.whole.target),
        units::time(found.whole.duration_ns),
        notes::seen(found.requests.len(), found.routes.len()),
        units::average(found.in_flight()),
    )
}

fn row(found: &RequestFindings<'_>, route: &RouteBreakdown) -> Row {
    Row {
        route: found.shown.string(route.route).to_owned(),
        cells: vec![
            route.seen.to_string(),
            units::average(route.in_flight(found.whole.duration_ns)),
            format!("{}{}", found.mean_is(route).sign(), units::to_tick(found.mean_ns(route), found.tick_ns)),
            numbers::length(&route.longest, found.tick_ns),
        ],
        shares: numbers::shares(&route.own),
        weight: route.own.time_ns as f64,
    }
}

/// What a route's time is made of, and where it is spent.
fn places(found: &RequestFindings<'_>, route: &RouteBreakdown, columns: usize, style: Style) -> Vec<String> {
    let name = match found.shown.string(route.route) {
        "" => NO_ROUTE.to_owned(),
        name => clean(name),
    };
    let mut lines = vec![String::new(), style.bold(&cut(&name, columns))];
    lines.extend(made_of("", &route.own, columns, style));
    lines.extend(stacks(&found.shown, &route.own, columns, style));
    let children = &route.children;
    if children.time_ns as f64 >= LEAST_CHILDREN * route.own.time_ns as f64 {
        let each = units::average(children.goroutines as f64 / route.seen.max(1) as f64);
        let about = units::average(children.time_ns as f64 / found.whole.duration_ns.max(1) as f64);
        lines.extend(made_of(
            &format!("{each} goroutines started by each, {about} at a time: "),
            children,
            columns,
            style,
        ));
        lines.extend(stacks(&found.shown, children, columns, style));
    }
    lines
}

/// `lock 62% ±3 · network 21% ±2`
fn made_of(what: &str, breakdown: &Breakdown, columns: usize, style: Style) -> Vec<String> {
    let phases = numbers::main_phases(&numbers::shares(breakdown));
    let parts = phases.iter().map(|&(phase, part)| {
        let share = numbers::share(part).unwrap_or_default();
        // One part is not broken over two lines.
        let text = format!("{} {share}{}", phase.word(), numbers::error(breakdown.phase(phase))).replace(' ', "\u{a0}");
        style.phase(phase, &text)
    });
    let text = format!("  {what}{}", parts.collect::<Vec<_>>().join(" · "));
    wrap(&text, columns).into_iter().map(|line| line.replace('\u{a0}', " ")).collect()
}

/// The places where most of the time is spent, on the CPU and off it.
fn stacks(profile: &Profile, breakdown: &Breakdown, columns: usize, style: Style) -> Vec<String> {
    let shown = places_shown(breakdown);
    let texts: Vec<String> = shown
        .iter()
        .map(|place| format!("{}{}", numbers::share(place.time.share).unwrap_or_default(), numbers::error(place.time)))
        .collect();
    // The signs of all errors stand below each other.
    let ahead = |text: &str| text.chars().take_while(|c| *c != ' ').count();
    let errors = texts.iter().map(|text| width(text) - ahead(text)).max().unwrap_or(0);
    let line = |(place, text): (&StackTime, &String)| {
        let (share, error) = text.split_at(text.find(' ').unwrap_or(text.len()));
        let part = format!("  {}{}", right(share, 6), left(error, errors));
        let phase = style.phase(place.phase, &left(place.phase.word(), 8));
        let room = columns.saturating_sub(width(&part) + 12);
        format!("{part}  {phase}  {}", cut(&clean(&short_stack(profile, place.stack)), room))
    };
    shown.into_iter().zip(&texts).map(line).collect()
}

/// The places with the most time; and of each phase that has much of it, so many at least as its part calls for. A route may be on
/// the CPU in many places, each of which has little time.
fn places_shown(breakdown: &Breakdown) -> Vec<&StackTime> {
    let mut shown: Vec<&StackTime> =
        breakdown.stacks.iter().filter(|place| place.time.share >= LEAST_SHARE).take(PLACES).collect();
    for phase in Phase::ALL {
        let share = breakdown.phase(phase).share;
        let wanted = if share < LEAST_PHASE { 0 } else { 1 + ((PLACES as f64 * share) as usize).min(PLACES - 1) };
        let known = shown.iter().filter(|place| place.phase == phase).count();
        let of_phase = breakdown.stacks.iter().filter(|place| place.phase == phase);
        shown.extend(of_phase.take(wanted).skip(known));
    }
    shown.sort_by_key(|place| std::cmp::Reverse(place.time.time_ns));
    shown
}

fn slowest(found: &RequestFindings<'_>, limit: usize, columns: usize, style: Style) -> Vec<String> {
    let slowest: Vec<_> = found.slowest(limit).collect();
    // A letter stands for a tick at least: nothing shorter is known.
    let room = TIMELINE.min(columns.saturating_sub(INDENT)).max(1);
    let parts = |time: &RequestBreakdown| (time.length.rank_ns / found.tick_ns.max(1)).clamp(1, room as u64) as usize;
    let longest = slowest.iter().map(|(time, _)| parts(time)).max().unwrap_or(1);
    let mut drawn = Vec::new();
    let mut seen = [false; Phase::COUNT];
    for (time, request) in slowest {
        let window = timeline_window(request, time, found.tick_ns);
        let phases = timeline_phases(&found.shown, request, window, parts(time));
        phases.iter().flatten().for_each(|phase| seen[phase.index()] = true);
        drawn.extend(one(found, time, request, columns, style));
        drawn.extend(below(time, &left(&timeline::draw(&phases, style), longest), columns, style));
    }
    let phases: Vec<Phase> = Phase::ALL.into_iter().filter(|phase| seen[phase.index()]).collect();
    let title = "SLOWEST REQUESTS";
    let legend = timeline::legend(&phases, style);
    let mut lines = vec![style.bold(title)];
    if title.len() + 2 + width(&legend) <= columns {
        lines = vec![format!("{}{}", style.bold(title), right(&legend, columns - title.len()))];
    } else {
        lines.extend(wrap(&legend, columns));
    }
    lines.push(String::new());
    lines.extend(drawn);
    lines
}

/// How long, which request, and its trace.
fn one(
    found: &RequestFindings<'_>,
    time: &RequestBreakdown,
    request: &Request,
    columns: usize,
    style: Style,
) -> Vec<String> {
    let profile = &found.shown;
    let length = numbers::length(&time.length, found.tick_ns);
    let trace = match (profile.string(request.trace_id), profile.string(request.request_id)) {
        ("", "") => String::new(),
        ("", id) => format!("id {}", cut(&clean(id), 32)),
        (trace, _) => clean(trace),
    };
    let room = columns.saturating_sub(INDENT);
    let name = match profile.request_line(request).as_str() {
        "" => format!("{NO_ROUTE} goroutine {}", request.goid),
        line => clean(line),
    };
    let name_room = room.saturating_sub(trace.chars().count() + 2);
    let start = format!("{}   ", right(&length, 9));
    // Where both do not fit, the trace has a line of its own: it is what people copy.
    if name_room >= name.chars().count().min(24) || trace.is_empty() {
        let name_room = if trace.is_empty() { room } else { name_room };
        let line = format!("{start}{}  {}", left(&cut(&name, name_room), name_room), style.dim(&trace));
        vec![line.trim_end().to_owned()]
    } else {
        vec![format!("{start}{}", cut(&name, room)), right(&style.dim(&trace), columns)]
    }
}

/// The time line, and what it is made of.
fn below(time: &RequestBreakdown, timeline: &str, columns: usize, style: Style) -> Vec<String> {
    let phases = numbers::main_phases(&numbers::shares_of(&time.own_ns));
    let part = |(phase, part): &(Phase, f64)| {
        let share = numbers::share(*part).unwrap_or_default();
        style.phase(*phase, &format!("{} {share}", phase.word()).replace(' ', "\u{a0}"))
    };
    let mut parts: Vec<String> = phases.iter().map(part).collect();
    match time.children {
        0 => {}
        1 => parts.push("1\u{a0}child".to_owned()),
        count => parts.push(format!("{count}\u{a0}children")),
    }
    let parts = parts.join(" · ");
    let indent = " ".repeat(INDENT);
    let room = columns.saturating_sub(INDENT + width(timeline) + 2);
    let lines: Vec<String> = if room >= LEAST_ROOM {
        let timelines = std::iter::once(timeline.to_owned()).chain(std::iter::repeat(" ".repeat(width(timeline))));
        wrap(&parts, room).into_iter().zip(timelines).map(|(part, timeline)| format!("{timeline}  {part}")).collect()
    } else {
        std::iter::once(timeline.trim_end().to_owned()).chain(wrap(&parts, columns.saturating_sub(INDENT))).collect()
    };
    lines.into_iter().map(|line| format!("{indent}{}", line.replace('\u{a0}', " "))).collect()
}
