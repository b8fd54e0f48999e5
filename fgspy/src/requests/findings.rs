//! What a recording says of requests: chosen, added up and sorted, ready to be shown.

use std::borrow::Cow;
use std::cmp::Reverse;

use fgspy_profile::{Filter, Profile, Request, RequestBreakdown, RouteBreakdown, apply};

use super::args::{ChoiceArgs, Sort};
use super::words::{self, Mean};

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
    /// The mean interval between ticks, in nanoseconds.
    pub(super) tick_ns: u64,
    /// Every goroutine was read at every tick. Else it is not known when a request began and ended; only sums are right.
    pub(super) all_were_read: bool,
}

impl<'a> Findings<'a> {
    pub(super) fn new(whole: &'a Profile, choice: &ChoiceArgs, sort: Sort) -> Findings<'a> {
        let shown = apply(whole, &filter(choice));
        let mut requests = shown.request_breakdowns();
        let mut routes = shown.route_breakdowns(&requests);
        if let Some(wanted) = &choice.route {
            let is_wanted = |route| wanted.is_match(shown.string(route));
            routes.retain(|route| is_wanted(route.route));
            requests.retain(|time| shown.request(time.id).is_some_and(|request| is_wanted(request.route)));
        }
        // What is the same stays in the order in which it was first seen.
        match sort {
            Sort::Time => routes.sort_by_key(|route| Reverse(route.own.time_ns)),
            Sort::Requests => routes.sort_by_key(|route| Reverse(route.seen)),
            Sort::Mean => routes.sort_by_key(|route| Reverse(words::mean_ns(route))),
            Sort::Longest => routes.sort_by_key(|route| Reverse(route.longest_ns)),
        }
        requests.sort_by_key(|time| Reverse(time.duration_ns));
        let tick_ns = whole.duration_ns / whole.accounting.ticks.max(1);
        let how = &whole.accounting;
        let all_were_read = how.observations() >= how.goroutine_ticks;
        Findings { whole, shown, routes, requests, tick_ns, all_were_read }
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

    /// How long something took that was seen at so many ticks.
    pub(super) fn length(&self, ns: u64, observations: u64) -> String {
        match self.all_were_read {
            true => words::length(ns, observations, self.tick_ns),
            false => format!("{}{}", Mean::About.sign(), words::rounded(ns, self.tick_ns)),
        }
    }

    /// Requests in flight on average.
    pub(super) fn in_flight(&self) -> f64 {
        self.routes.iter().map(|route| route.in_flight(self.whole.duration_ns)).fold(0.0, |sum, part| sum + part)
    }
}

/// The part of the choice that is a filter like any other.
pub(super) fn filter(choice: &ChoiceArgs) -> Filter {
    Filter { request: choice.request.clone(), trace: choice.trace.clone(), ..Filter::default() }
}
