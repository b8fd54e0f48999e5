//! Where the goroutines of requests waited, as text.

use fgspy_probes::{Place, PlacedWaits, class};
use fgspy_profile::{Phase, Profile, short_stack, units};

use super::capture::Capture;
use super::words::phase_word;
use crate::args::trace::TraceArgs;
use crate::terminal::escape::clean;
use crate::terminal::style::Style;
use crate::terminal::text::{cut, cut_styled, left, right};

/// Columns before the place of a wait.
const WAITS_BEFORE: usize = 52;
/// Places that are listed for a route.
const PLACES: usize = 3;

pub(super) fn lines(
    args: &TraceArgs,
    capture: &Capture<'_>,
    profile: &Profile,
    places: &[PlacedWaits],
    columns: usize,
    style: Style,
) -> Vec<String> {
    let mut lines = Vec::new();
    let routes = capture.trace.routes();
    let mut names: Vec<&String> = routes.keys().collect();
    names.sort_by_key(|name| std::cmp::Reverse(routes.get(*name).map_or(0, |route| route.durations.sum())));
    for name in names.into_iter().take(args.limit) {
        let room = columns.saturating_sub(WAITS_BEFORE);
        let its = |by_child: bool| {
            let is_wanted = |waits: &Place| waits.route.as_ref() == Some(name) && waits.by_child == by_child;
            by_line(profile, room, places.iter().filter(|place| is_wanted(&place.waits)))
        };
        let (own, children) = (its(false), its(true));
        if own.is_empty() && children.is_empty() {
            continue;
        }
        lines.push(style.bold(&cut(&clean(name), columns)));
        lines.extend(own.into_iter().take(PLACES).map(|waits| line(&waits, columns, style)));
        if !children.is_empty() {
            lines.push(cut("  goroutines that it started, at the same time:", columns));
        }
        lines.extend(children.into_iter().take(PLACES).map(|waits| line(&waits, columns, style)));
    }
    if !lines.is_empty() {
        let title = format!("WHERE THEY WAITED, {} and longer", units::time(args.block_threshold.as_nanos() as u64));
        lines.insert(0, style.bold(&title));
        lines.insert(1, String::new());
        lines.push(String::new());
    }
    lines
}

/// A line for waits at one place.
fn line(waits: &WaitLine, columns: usize, style: Style) -> String {
    let word = left(&style.phase(waits.phase, phase_word(waits.phase)), 8);
    let line = format!(
        "  {} {word} {} waits, longest {}  {}",
        right(&units::time(waits.total_ns), 8),
        right(&waits.count.to_string(), 5),
        left(&units::time(waits.longest_ns), 8),
        waits.line
    );
    cut_styled(&line, columns)
}

/// Waits that look the same to a reader: of one state, at stacks with the same line.
struct WaitLine {
    phase: Phase,
    line: String,
    count: u64,
    total_ns: u64,
    longest_ns: u64,
}

/// Adds up waits with the same line. The greatest sums come first.
fn by_line<'a>(profile: &Profile, room: usize, places: impl Iterator<Item = &'a PlacedWaits>) -> Vec<WaitLine> {
    let mut all: Vec<WaitLine> = Vec::new();
    for PlacedWaits { waits: place, stack } in places {
        let (phase, line) = (Phase::of(class(place.class)), cut(&clean(&short_stack(profile, *stack)), room));
        match all.iter_mut().find(|known| known.phase == phase && known.line == line) {
            Some(known) => {
                known.count += place.count;
                known.total_ns += place.total_ns;
                known.longest_ns = known.longest_ns.max(place.longest_ns);
            }
            None => all.push(WaitLine {
                phase,
                line,
                count: place.count,
                total_ns: place.total_ns,
                longest_ns: place.longest_ns,
            }),
        }
    }
    all.sort_by_key(|known| std::cmp::Reverse(known.total_ns));
    all
}
