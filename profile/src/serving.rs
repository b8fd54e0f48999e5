//! Whose time is whose: sums over requests, routes and idle servers; and which requests a filter means.

use std::collections::HashMap;

use regex::Regex;

use crate::{Class, Idle, Profile, Request, Serving, StringId};

/// The fewest digits that may stand for the beginning of a trace id.
const MIN_TRACE_PREFIX: usize = 8;

impl Profile {
    /// `GET /orders/17`: method and path of a request, as far as they are known.
    pub fn request_line(&self, request: &Request) -> String {
        let (method, path) = (self.string(request.method), self.string(request.path));
        if method.is_empty() || path.is_empty() { format!("{method}{path}") } else { format!("{method} {path}") }
    }

    /// Whether the route of a request, or its method and path, match.
    pub(crate) fn matches_request(&self, request: &Request, regex: &Regex) -> bool {
        regex.is_match(self.string(request.route)) || regex.is_match(&self.request_line(request))
    }

    /// What is known of requests, in one sum; `None` if nothing is, because nobody looked.
    pub fn serving_totals(&self) -> Option<ServingTotals> {
        let mut totals = ServingTotals::default();
        let mut seen = vec![false; self.requests.len()];
        for sample in &self.samples {
            let (time, of_idle) = match sample.serving {
                Serving::Unknown => (&mut totals.unknown_ns, None),
                Serving::Nothing => (&mut totals.nothing_ns, None),
                Serving::Idle(idle) => (&mut totals.idle_ns, Some(idle)),
                Serving::Request(id) => {
                    seen.get_mut(id.index()).into_iter().for_each(|seen| *seen = true);
                    (&mut totals.request_ns, None)
                }
            };
            *time = time.saturating_add(sample.time_ns);
            let of_idle = totals.by_idle_ns.iter_mut().find(|(idle, _)| Some(*idle) == of_idle);
            of_idle.into_iter().for_each(|(_, time)| *time = time.saturating_add(sample.time_ns));
        }
        let requests = self.requests.iter().zip(seen).filter(|(_, seen)| *seen).map(|(request, _)| request);
        let mut routes: Vec<_> = requests.map(|request| request.route).collect();
        totals.requests = routes.len();
        routes.sort_unstable();
        routes.dedup();
        totals.routes = routes.len();
        let known = totals.request_ns > 0 || totals.nothing_ns > 0 || totals.idle_ns > 0;
        known.then_some(totals)
    }

    /// Time by route, those with the most of it first.
    pub fn by_route(&self) -> Vec<RouteTime> {
        let mut routes: Vec<RouteTime> = Vec::new();
        let mut places: HashMap<StringId, usize> = HashMap::new();
        let mut seen = vec![false; self.requests.len()];
        for sample in &self.samples {
            let Some((id, request)) = sample.serving.request().and_then(|id| Some((id, self.request(id)?))) else {
                continue;
            };
            let place = *places.entry(request.route).or_insert_with(|| {
                let by_class_ns = Class::ALL.map(|class| (class, 0));
                routes.push(RouteTime { route: request.route, requests: 0, time_ns: 0, by_class_ns });
                routes.len() - 1
            });
            let (Some(route), Some(seen)) = (routes.get_mut(place), seen.get_mut(id.index())) else { continue };
            route.requests += usize::from(!std::mem::replace(seen, true));
            route.time_ns = route.time_ns.saturating_add(sample.time_ns);
            if let Some((_, time)) = route.by_class_ns.get_mut(sample.class(self).index()) {
                *time = time.saturating_add(sample.time_ns);
            }
        }
        routes.sort_by_key(|route| (std::cmp::Reverse(route.time_ns), route.route));
        routes
    }
}

/// Time in the requests of one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteTime {
    /// [`Request::route`].
    pub route: StringId,
    /// Requests in which time was spent.
    pub requests: usize,
    /// All their goroutines' time, in nanoseconds.
    pub time_ns: u64,
    /// The same by class, in the order of [`Class::ALL`].
    pub by_class_ns: [(Class, u64); Class::COUNT],
}

/// Where goroutines' time went, as far as requests are concerned. Times are nanoseconds, and add up to those of all samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServingTotals {
    /// Requests in which time was spent.
    pub requests: usize,
    /// Routes that they were on.
    pub routes: usize,
    /// In requests.
    pub request_ns: u64,
    /// In servers' goroutines that served no request.
    pub idle_ns: u64,
    /// The same, by what they did instead, in the order of [`Idle::ALL`].
    pub by_idle_ns: [(Idle, u64); Idle::ALL.len()],
    /// In goroutines that belong to no server.
    pub nothing_ns: u64,
    /// In goroutines of which it is not known.
    pub unknown_ns: u64,
}

impl Default for ServingTotals {
    fn default() -> ServingTotals {
        let by_idle_ns = Idle::ALL.map(|idle| (idle, 0));
        let (requests, routes, request_ns, idle_ns, nothing_ns, unknown_ns) = (0, 0, 0, 0, 0, 0);
        ServingTotals { requests, routes, request_ns, idle_ns, by_idle_ns, nothing_ns, unknown_ns }
    }
}

/// Whether `id` is the trace that `wanted` names: the whole id, with or without leading zeros (an id of 8 bytes is the end
/// of one of 16), or at least its first eight digits. Upper and lower case are the same.
pub(crate) fn is_trace(id: &str, wanted: &str) -> bool {
    let plain = |text: &str| text.trim_start_matches('0').to_ascii_lowercase();
    if id.is_empty() || wanted.is_empty() {
        return false;
    }
    let is_prefix = wanted.len() >= MIN_TRACE_PREFIX
        && id.get(..wanted.len()).is_some_and(|start| start.eq_ignore_ascii_case(wanted));
    is_prefix || plain(id) == plain(wanted)
}

/// Keys of `runtime/pprof` labels that hold a trace id, without `_`, `-`, `.`, spaces and regard to case: those that
/// OpenTelemetry's and Pyroscope's instrumentation set, and what people write themselves.
const TRACE_KEYS: [&str; 3] = ["traceid", "trace", "oteltraceid"];

/// The trace id among the target's own labels.
pub(crate) fn trace_of_labels<'a>(mut labels: impl Iterator<Item = (&'a str, &'a str)>) -> Option<&'a str> {
    let is_one = |key: &str| {
        let letters = || key.bytes().filter(|byte| !b"_-. ".contains(byte)).map(|byte| byte.to_ascii_lowercase());
        TRACE_KEYS.iter().any(|wanted| letters().eq(wanted.bytes()))
    };
    labels.find(|(key, _)| is_one(key)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_name_traces() {
        let found = |labels: &[(&'static str, &'static str)]| trace_of_labels(labels.iter().copied());
        for key in ["trace_id", "Trace-ID", "traceid", "trace", "otel.trace.id", "trace id"] {
            assert_eq!(found(&[("tenant", "a"), (key, "4bf9")]), Some("4bf9"), "{key}");
        }
        assert_eq!(found(&[("span_id", "1"), ("backtrace", "2"), ("traceidx", "3")]), None);
    }

    #[test]
    fn traces_are_named_by_their_id_or_its_beginning() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        for wanted in [id, "4BF92F3577B34DA6A3CE929D0E0E4736", "4bf92f35", "4BF92F3577"] {
            assert!(is_trace(id, wanted), "{wanted}");
        }
        for wanted in
            ["", "4bf92f3", "bf92f3577b34da6a3ce929d0e0e4736", "4bf92f3577b34da6a3ce929d0e0e47360", "é2f3577b3"]
        {
            assert!(!is_trace(id, wanted), "{wanted}");
        }
        let short = "0000000000000000a3ce929d0e0e4736";
        assert!(is_trace(short, "a3ce929d0e0e4736") && is_trace("a3ce929d0e0e4736", short));
        assert!(!is_trace(short, "a3ce929d") && !is_trace("", "") && !is_trace("", id));
        assert!(is_trace("7b", "7B") && is_trace("7b", "07b"), "an id of few digits is matched as a whole");
    }
}
