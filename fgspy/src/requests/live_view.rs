//! The view while the recording goes on.

use std::time::{Duration, Instant};

use fgspy_profile::Phase;
use fgspy_sampler::{Live, MAX_IN_PROGRESS, Progress, RouteTally, Tally};

use super::notes;
use crate::args::requests::{RequestsArgs, Sort};
use crate::terminal::escape::clean;
use crate::terminal::numbers;
use crate::terminal::screen::{self, Screen};
use crate::terminal::style::Style;
use crate::terminal::table::{self, Column, Row};
use crate::terminal::text::{cut, left, right, width};

/// How often the view is drawn.
const REDRAW: Duration = Duration::from_secs(1);
/// What drawing may cost, as a part of the time: the sampler waits for it meanwhile.
const MAX_COST: u32 = 200;
/// The columns of the table.
const COLUMNS: [Column; 3] =
    [Column { title: "SEEN", keep: 2.0 }, Column { title: "NOW", keep: 3.0 }, Column { title: "LONGEST", keep: 0.1 }];
/// Lines that are not routes: a head, empty lines, titles, and those in progress.
const OTHER_LINES: usize = MAX_IN_PROGRESS + 6;

/// Draws what is known so far, if standard output is a terminal, and nothing otherwise.
pub(super) struct LiveView {
    shown: bool,
    title: String,
    duration: Option<Duration>,
    sort: Sort,
    limit: usize,
    tick_ns: u64,
    style: Style,
    screen: Screen,
    tally: Tally,
    next: Option<Instant>,
}

impl LiveView {
    pub(super) fn new(args: &RequestsArgs, title: String, limit: usize, style: Style) -> LiveView {
        let tick_ns = (1e9 / args.rate) as u64;
        LiveView {
            shown: screen::can_redraw(),
            title,
            duration: args.duration,
            sort: args.sort,
            limit,
            tick_ns,
            style,
            screen: Screen::default(),
            tally: Tally::new(args.selection.selection(), args.selection.naming.route_regex.clone(), tick_ns),
            next: None,
        }
    }

    /// Draws the view anew, if it is time to.
    pub(super) fn update(&mut self, progress: &Progress, live: &Live<'_>) {
        let now = Instant::now();
        if !self.shown || self.next.is_some_and(|next| now < next) {
            return;
        }
        self.tally.count(live);
        let size = screen::size();
        let lines = self.lines(progress.elapsed, size);
        screen::show(&self.screen.redraw(&lines, size));
        self.next = Some(now + REDRAW.max(now.elapsed() * MAX_COST));
    }

    fn lines(&mut self, elapsed: Duration, (columns, rows): (usize, usize)) -> Vec<String> {
        let style = self.style;
        let mut lines = vec![self.head(elapsed, columns), String::new()];
        let mut routes: Vec<&RouteTally> = self.tally.routes.iter().filter(|route| route.seen > 0).collect();
        sort(&mut routes, self.sort);
        if routes.is_empty() {
            lines.push(style.dim("No request seen yet."));
            return lines;
        }
        let room = rows.saturating_sub(OTHER_LINES).max(1);
        let shown = routes.len().min(self.limit).min(room);
        let table: Vec<Row> = routes.iter().take(shown).map(|route| self.row(route)).collect();
        lines.extend(table::lines(&COLUMNS, &table, columns, style));
        let more = routes.len() - shown;
        lines.extend((more > 0).then(|| style.dim(&format!("and {more} more"))));
        if !self.tally.oldest.is_empty() {
            lines.extend([String::new(), style.bold("LONGEST IN PROGRESS")]);
            lines.extend(self.tally.oldest.iter().map(|old| {
                let phases: Vec<&str> = old.phases.iter().map(|phase| phase.word()).collect();
                let phases = match old.phases.as_slice() {
                    [phase] => style.phase(*phase, phase.word()),
                    _ => phases.join("+"),
                };
                let start = format!("{}  {}", right(&numbers::length(&old.age, self.tick_ns), 8), left(&phases, 8));
                let trace = clean(&old.trace_id);
                let room = columns.saturating_sub(width(&start) + 2);
                let name_room = room.saturating_sub(trace.chars().count() + 2);
                let name = clean(&old.name);
                let line = match name_room {
                    ..16 => format!("{start}  {}", cut(&name, room)),
                    _ => format!("{start}  {}  {}", left(&cut(&name, name_room), name_room), style.dim(&trace)),
                };
                line.trim_end().to_owned()
            }));
        }
        lines
    }

    fn head(&self, elapsed: Duration, columns: usize) -> String {
        let seen: u64 = self.tally.routes.iter().map(|route| route.seen).sum();
        let routes = self.tally.routes.iter().filter(|route| route.seen > 0).count();
        let time = match self.duration {
            Some(duration) => format!("{:.0} s left", duration.saturating_sub(elapsed).as_secs_f64().ceil()),
            None => format!("{:.0} s, Ctrl-C to end", elapsed.as_secs_f64()),
        };
        let now = self.tally.in_progress();
        let rest = format!("  {time} · {} · {now} in progress", notes::seen(seen as usize, routes));
        let title = cut(&self.title, columns);
        format!("{}{}", self.style.bold(&title), cut(&rest, columns.saturating_sub(title.chars().count())))
    }

    fn row(&self, route: &RouteTally) -> Row {
        Row {
            route: route.name.clone(),
            cells: vec![route.seen.to_string(), route.now.to_string(), numbers::length(&route.longest, self.tick_ns)],
            shares: numbers::shares_of(&route.by_phase),
            weight: route.by_phase.iter().map(|time| *time as f64).sum(),
        }
    }
}

/// The view goes away with the recording: the report says it all.
impl Drop for LiveView {
    fn drop(&mut self) {
        if self.shown {
            screen::show(&self.screen.erase(screen::size().0));
        }
    }
}

/// As the report will be sorted. What the mean will be is not known yet: by time then.
fn sort(routes: &mut [&RouteTally], by: Sort) {
    let time = |route: &RouteTally| -> u64 { route.by_phase.iter().fold(0, |sum, part| sum.saturating_add(*part)) };
    match by {
        Sort::Time | Sort::Mean => routes.sort_by_key(|route| std::cmp::Reverse(time(route))),
        Sort::Requests => routes.sort_by_key(|route| std::cmp::Reverse(route.seen)),
        Sort::Longest => routes.sort_by_key(|route| std::cmp::Reverse(route.longest.rank())),
    }
}

const _: () = assert!(Phase::COUNT <= 8, "phases are bits of a byte");
