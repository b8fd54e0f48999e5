//! Requests that were not seen from beginning to end: how many, of which route, and how long they have been there at least. Their
//! time is in no table, because only a part of it is known.

use std::collections::BTreeMap;

use fgspy_profile::units;

use super::capture::Capture;
use super::words::provisional_route;
use crate::terminal::escape::clean;
use crate::terminal::style::Style;
use crate::terminal::text::{cut, left, right};

/// Columns that a route may take.
const ROUTE: usize = 48;

/// What was not seen of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// Neither.
    Both,
    /// Its beginning.
    Begin,
    /// Its end.
    End,
}

impl Part {
    const fn words(self) -> &'static str {
        match self {
            Part::Both => "began before the probes, did not end",
            Part::Begin => "began before the probes, ended",
            Part::End => "did not end",
        }
    }
}

/// How many requests of a route there are, and how long one of them has been there at least.
type Rows = BTreeMap<(Part, String), (u64, u64)>;

fn rows(capture: &Capture<'_>) -> Rows {
    let earlier = capture.earlier.requests().map(|one| {
        let part = if one.ended { Part::Begin } else { Part::Both };
        ((part, one.route.clone()), one.at_least_ns())
    });
    let open = capture
        .trace
        .open()
        .map(|one| ((Part::End, provisional_route(one)), capture.end_ns.saturating_sub(one.begin_ns)));
    let mut rows = Rows::new();
    for (key, at_least_ns) in earlier.chain(open) {
        let (count, longest_ns) = rows.entry(key).or_default();
        *count += 1;
        *longest_ns = (*longest_ns).max(at_least_ns);
    }
    rows
}

/// A table of them; nothing if there are none.
pub(super) fn table(capture: &Capture<'_>, limit: usize, columns: usize, style: Style) -> Vec<String> {
    let rows = rows(capture);
    if rows.is_empty() {
        return Vec::new();
    }
    let mut sorted: Vec<_> = rows.into_iter().collect();
    sorted.sort_by_key(|((part, _), (_, longest_ns))| (*part, std::cmp::Reverse(*longest_ns)));
    let width = sorted.iter().map(|((_, route), _)| route.chars().count()).max().unwrap_or(0).min(ROUTE);
    let mut lines = vec![style.bold("INCOMPLETE REQUESTS"), String::new()];
    for ((part, route), (count, longest_ns)) in sorted.iter().take(limit) {
        let route = left(&cut(&clean(route), width), width);
        let at_least = format!("≥{}", units::time(*longest_ns));
        let line = format!("  {} {}  {route}  {}", right(&count.to_string(), 6), right(&at_least, 9), part.words());
        lines.push(cut(&line, columns));
    }
    if sorted.len() > limit {
        lines.push(style.dim(&format!("and {} more; --limit {} shows them too", sorted.len() - limit, sorted.len())));
    }
    lines.push(String::new());
    lines
}

/// The same in a few sentences.
pub(super) fn sentences(capture: &Capture<'_>) -> Vec<String> {
    let counts = |is_it: &dyn Fn(Part) -> bool| -> u64 {
        rows(capture).iter().filter(|((part, _), _)| is_it(*part)).map(|(_, (count, _))| count).sum()
    };
    let (both, begin, end) =
        (counts(&|part| part == Part::Both), counts(&|part| part == Part::Begin), counts(&|part| part == Part::End));
    let mut lines = Vec::new();
    for (count, what) in [
        (both, "began before the probes were set, and did not end"),
        (begin, "began before the probes were set, and ended meanwhile"),
        (capture.earlier.more(), "began before the probes were set and are not listed, because there were too many"),
    ] {
        if count > 0 {
            let (noun, whose) = if count == 1 { ("request", "its") } else { ("requests", "their") };
            lines.push(format!("{count} {noun} {what}: {whose} time is not in the table."));
        }
    }
    if end > 0 {
        let (noun, whose) =
            if end == 1 { ("request had not ended", "its") } else { ("requests had not ended", "their") };
        lines.push(format!("{end} {noun} when the trace ended: {whose} time is not in the table."));
    }
    lines
}
