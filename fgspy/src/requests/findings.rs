//! What a recording says of requests: chosen, added up and sorted, ready to be shown.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;

use fgspy_profile::{Filter, Length, Profile, Request, RequestBreakdown, RouteBreakdown, StackId, apply};

use super::telling;
use crate::args::requests::{ChoiceArgs, Sort};
use crate::terminal::numbers::{self, Mean};

/// What there is to show of a recording.
pub(super) struct Findings<'a> {
    /// All of it.
    pub(super) whole: &'a Profile,
    /// What was chosen of it.
    pub(super) shown: Cow<'a, Profile>,
    /// The routes chosen, sorted.
    pub(super) routes: Vec<RouteBreakdown>,
    /// The requests of those, the longest first.
    pub(super) requests: Vec<RequestBreakdown>,
    /// The period of the ticks, in nanoseconds.
    pub(super) tick_ns: u64,
    /// Every goroutine was read at every tick. Else looks at a request may be far apart, and requests were missed that a tick
    /// should have found; sums are right.
    pub(super) all_were_read: bool,
}

impl<'a> Findings<'a> {
    /// What the report says, with the places that its lines tell apart, or (for JSON) with all stacks.
    pub(super) fn new(whole: &'a Profile, choice: &ChoiceArgs, sort: Sort, places: Places) -> Findings<'a> {
        let shown = apply(whole, &filter(choice));
        let mut requests = shown.request_breakdowns();
        let mut routes = match places {
            Places::Stacks => shown.route_breakdowns(&requests),
            Places::Lines => {
                let mut lines = Lines::default();
                shown.route_breakdowns_by(&requests, &mut |stack| lines.place(&shown, stack))
            }
        };
        if let Some(wanted) = &choice.route {
            let is_wanted = |route| wanted.is_match(shown.string(route));
            routes.retain(|route| is_wanted(route.route));
            requests.retain(|time| shown.request(time.id).is_some_and(|request| is_wanted(request.route)));
        }
        let how = &whole.accounting;
        let all_were_read = how.observations() >= how.goroutine_ticks;
        // What is the same stays in the order in which it was first seen.
        match sort {
            Sort::Time => routes.sort_by_key(|route| Reverse(route.own.time_ns)),
            Sort::Requests => routes.sort_by_key(|route| Reverse(route.seen)),
            Sort::Mean => routes.sort_by_key(|route| Reverse(mean_ns(route, all_were_read))),
            Sort::Longest => routes.sort_by_key(|route| Reverse(route.longest.rank())),
        }
        requests.sort_by_key(|time| Reverse(time.length.rank()));
        Findings { whole, shown, routes, requests, tick_ns: whole.tick_ns(), all_were_read }
    }

    /// The longest requests, so many at most.
    pub(super) fn slowest(&self, limit: usize) -> impl Iterator<Item = (&RequestBreakdown, &Request)> {
        let known = self.requests.iter().filter_map(|time| Some((time, self.shown.request(time.id)?)));
        known.take(limit)
    }

    /// What is known of the mean time of a route's requests.
    pub(super) fn mean_is(&self, route: &RouteBreakdown) -> Mean {
        if self.all_were_read { Mean::of(route) } else { Mean::About }
    }

    /// The mean time of a route's requests, in nanoseconds.
    pub(super) fn mean_ns(&self, route: &RouteBreakdown) -> u64 {
        mean_ns(route, self.all_were_read)
    }

    /// How long a request took.
    pub(super) fn length(&self, length: &Length) -> String {
        numbers::length(length, self.tick_ns)
    }

    /// Requests in flight on average.
    pub(super) fn in_flight(&self) -> f64 {
        self.routes.iter().map(|route| route.in_flight(self.whole.duration_ns)).fold(0.0, |sum, part| sum + part)
    }
}

/// Where looks at requests are far apart, the sum of all time says more of the mean than what is known of each request.
fn mean_ns(route: &RouteBreakdown, all_were_read: bool) -> u64 {
    if all_were_read { numbers::mean_ns(route) } else { route.own.time_ns / route.seen.max(1) }
}

/// What counts as one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Places {
    /// All stacks that are the same line in the report.
    Lines,
    /// Each stack by itself.
    Stacks,
}

/// The stack that stands for all with the same line.
#[derive(Debug, Default)]
struct Lines {
    by_line: HashMap<String, StackId>,
    known: HashMap<StackId, StackId>,
}

impl Lines {
    fn place(&mut self, profile: &Profile, stack: StackId) -> StackId {
        let by_line = &mut self.by_line;
        *self.known.entry(stack).or_insert_with(|| *by_line.entry(telling::line(profile, stack)).or_insert(stack))
    }
}

/// The part of the choice that is a filter like any other.
pub(super) fn filter(choice: &ChoiceArgs) -> Filter {
    Filter { request: choice.request.clone(), trace: choice.trace.clone(), ..Filter::default() }
}
