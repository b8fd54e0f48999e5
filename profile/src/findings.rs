//! What a recording says of requests: selected, added up and sorted, ready to be reported.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;

use regex::Regex;

use crate::{Filter, Known, Profile, Request, RequestBreakdown, RouteBreakdown, StackId, apply, short_stack};

/// Which requests to report.
#[derive(Clone, Debug, Default)]
pub struct RequestSelection {
    /// Only requests whose route, or method and path, match.
    pub request: Option<Regex>,
    /// Only requests of this trace, by at least the first 8 digits of its id.
    pub trace: Option<String>,
    /// Only routes that match.
    pub route: Option<Regex>,
}

impl RequestSelection {
    /// The part of it that is a filter of samples.
    pub fn filter(&self) -> Filter {
        Filter { request: self.request.clone(), trace: self.trace.clone(), ..Filter::default() }
    }

    /// Whether a route of this name is wanted.
    pub fn has_route(&self, name: &str) -> bool {
        self.route.as_ref().is_none_or(|wanted| wanted.is_match(name))
    }
}

/// What to sort routes by, the greatest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouteOrder {
    /// Time spent in their requests: how many are in flight.
    #[default]
    Time,
    /// Requests seen.
    Requests,
    /// The mean time of a request.
    Mean,
    /// The longest request.
    Longest,
}

/// Which stacks of a route are added up as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackGrouping {
    /// All stacks with the same [`short_stack`].
    ByLine,
    /// Each stack by itself.
    Exact,
}

/// What there is to report of the requests in a recording.
#[derive(Debug)]
pub struct RequestFindings<'a> {
    /// All of it.
    pub whole: &'a Profile,
    /// The part that was selected.
    pub shown: Cow<'a, Profile>,
    /// The selected routes, sorted.
    pub routes: Vec<RouteBreakdown>,
    /// The requests of those routes, the longest first.
    pub requests: Vec<RequestBreakdown>,
    /// The period of the ticks, in nanoseconds.
    pub tick_ns: u64,
    /// Every goroutine was read at every tick. Otherwise the observations of a request may be far apart, and a tick may have
    /// missed requests that were there. Sums are right either way.
    pub all_were_read: bool,
}

impl<'a> RequestFindings<'a> {
    /// Selects, adds up and sorts what a profile has of requests.
    pub fn new(
        whole: &'a Profile,
        selection: &RequestSelection,
        order: RouteOrder,
        grouping: StackGrouping,
    ) -> RequestFindings<'a> {
        let shown = apply(whole, &selection.filter());
        let mut requests = shown.request_breakdowns();
        let mut routes = match grouping {
            StackGrouping::Exact => shown.route_breakdowns(&requests),
            StackGrouping::ByLine => {
                let mut lines = Lines::default();
                shown.route_breakdowns_by(&requests, &mut |stack| lines.place(&shown, stack))
            }
        };
        if selection.route.is_some() {
            let is_wanted = |route| selection.has_route(shown.string(route));
            routes.retain(|route| is_wanted(route.route));
            requests.retain(|time| shown.request(time.id).is_some_and(|request| is_wanted(request.route)));
        }
        let how = &whole.accounting;
        let all_were_read = how.observations() >= how.goroutine_ticks;
        // Equal routes stay in the order in which they were first seen.
        match order {
            RouteOrder::Time => routes.sort_by_key(|route| Reverse(route.own.time_ns)),
            RouteOrder::Requests => routes.sort_by_key(|route| Reverse(route.seen)),
            RouteOrder::Mean => routes.sort_by_key(|route| Reverse(mean_ns(route, all_were_read))),
            RouteOrder::Longest => routes.sort_by_key(|route| Reverse(route.longest.rank())),
        }
        requests.sort_by_key(|time| Reverse(time.length.rank()));
        RequestFindings { whole, shown, routes, requests, tick_ns: whole.tick_ns(), all_were_read }
    }

    /// The longest requests, at most `limit`.
    pub fn slowest(&self, limit: usize) -> impl Iterator<Item = (&RequestBreakdown, &Request)> {
        let known = self.requests.iter().filter_map(|time| Some((time, self.shown.request(time.id)?)));
        known.take(limit)
    }

    /// What is known of the mean time of a route's requests.
    pub fn mean_is(&self, route: &RouteBreakdown) -> Mean {
        if self.all_were_read { Mean::of(route) } else { Mean::About }
    }

    /// The mean time of a route's requests, in nanoseconds.
    pub fn mean_ns(&self, route: &RouteBreakdown) -> u64 {
        mean_ns(route, self.all_were_read)
    }

    /// Requests in flight on average.
    pub fn in_flight(&self) -> f64 {
        self.routes.iter().map(|route| route.in_flight(self.whole.duration_ns)).fold(0.0, |sum, part| sum + part)
    }
}

/// Where observations of requests are far apart, the sum of all time is a better estimate of the mean than the bounds of each request.
fn mean_ns(route: &RouteBreakdown, all_were_read: bool) -> u64 {
    if all_were_read { mean_of_seen_ns(route) } else { route.own.time_ns / route.seen.max(1) }
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
        *self.known.entry(stack).or_insert_with(|| *by_line.entry(short_stack(profile, stack)).or_insert(stack))
    }
}

/// Of how many requests one may be out of the ordinary for their mean to count as sure.
const FEW: u64 = 20;

/// What is known of the mean time of a route's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mean {
    /// The mean itself.
    Is,
    /// Many were seen at one tick only. There were others like them, all shorter than a tick, that were not seen.
    AtMost,
    /// For many only a lower bound is known.
    AtLeast,
    /// Both, or an estimate.
    About,
}

impl Mean {
    /// What is known of the mean time of these requests.
    pub fn of(route: &RouteBreakdown) -> Mean {
        let many = |count: u64| count.saturating_mul(FEW) > route.seen;
        match (many(route.seen_once), many(route.at_least)) {
            (false, false) => Mean::Is,
            (true, false) => Mean::AtMost,
            (false, true) => Mean::AtLeast,
            (true, true) => Mean::About,
        }
    }

    /// The sign that is printed in front of the mean.
    pub const fn sign(self) -> &'static str {
        match self {
            Mean::Is => "",
            Mean::AtMost => "≤",
            Mean::AtLeast => "≥",
            Mean::About => "~",
        }
    }

    /// The word for it in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Mean::Is => "exact",
            Mean::AtMost => "at most",
            Mean::AtLeast => "at least",
            Mean::About => "about",
        }
    }
}

/// The mean time of the requests of a route that were seen, in nanoseconds. It is not more than that of the longest: what was
/// seen once counts for a tick in the mean, and may have taken less.
fn mean_of_seen_ns(route: &RouteBreakdown) -> u64 {
    let mean = route.duration_ns / route.seen.max(1);
    if route.longest.known == Known::AtLeast { mean } else { mean.min(route.longest.ns) }
}
