//! What a service says of its requests, and whether what was seen agrees.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use anyhow::{Context, Result, bail, ensure};
use fgspy_fixtures::requests::{LoggedRequest, by_goroutine};
use fgspy_goroutines::request::Protocol;
use fgspy_goroutines::{Request, Status};

use crate::watch::Seen;

/// The log of a service, by goroutine.
pub(crate) struct Truth<'a> {
    by_goroutine: HashMap<u64, Vec<&'a LoggedRequest>>,
    /// The requests that goroutines were started for, directly or not.
    children: HashMap<u64, &'a LoggedRequest>,
}

/// What is true of an observation.
pub(crate) enum Verdict<'a> {
    /// The request is one that the goroutine served at that time.
    Right(&'a LoggedRequest),
    /// The same, but the handler had ended: net/http was done with all that can be waited for, and had only to forget it.
    Forgetting(&'a LoggedRequest),
    /// Between two handlers: it may be the request before, which is being forgotten, or the one after, whose handler has yet
    /// to log. They look the same, so that only one of them, but not which, is right.
    Either(&'a LoggedRequest),
    /// The goroutine was in a handler all the time, and no request was seen.
    Missed(&'a LoggedRequest),
    /// No request was seen, and there need not have been one: the handler began or ended meanwhile, or there was none.
    Nothing,
}

impl<'a> Truth<'a> {
    pub(crate) fn new(log: &'a [LoggedRequest]) -> Truth<'a> {
        let (mut by_goroutine, mut children) = (by_goroutine(log), HashMap::new());
        for request in log {
            children.extend(request.children.iter().map(|child| (child.goroutine, request)));
        }
        by_goroutine.values_mut().for_each(|requests| requests.sort_by_key(|request| request.start));
        Truth { by_goroutine, children }
    }

    /// Judges an observation.
    ///
    /// # Errors
    /// When the request that was seen is none that the goroutine can have served then: it says why.
    pub(crate) fn judge(&self, seen: &Seen) -> Result<Verdict<'a>> {
        let requests = self.by_goroutine.get(&seen.goid).map_or(&[][..], |requests| requests);
        let Some(request) = &seen.request else {
            let whole = requests.iter().find(|logged| logged.start <= seen.before && seen.after <= logged.end);
            return Ok(whole.map_or(Verdict::Nothing, |logged| Verdict::Missed(logged)));
        };
        if let Some(of_child) = self.children.get(&seen.goid) {
            return agrees(request, of_child).map(|()| Verdict::Right(of_child)).context("of a child");
        }
        // Requests are in order, and few can overlap an observation.
        let first = requests.partition_point(|logged| logged.end < seen.before).saturating_sub(1);
        let (mut agreed, mut refusals) = (Vec::new(), Vec::new());
        for place in first..requests.len().min(first + NEIGHBOURS) {
            let (logged, possible) = (requests[place], served(requests, place));
            if *possible.start() > seen.after {
                break;
            }
            if *possible.end() < seen.before {
                continue;
            }
            match agrees(request, logged) {
                Err(error) => refusals.push(format!("in {possible:?} {error}: {logged:?}")),
                Ok(()) if logged.left == 0 || seen.before <= logged.left => agreed.push(Verdict::Right(logged)),
                Ok(()) if is_waiting(seen.status) => refusals.push(format!("it waits, but has left: {logged:?}")),
                Ok(()) => agreed.push(Verdict::Forgetting(logged)),
            }
        }
        match (agreed.pop(), agreed.pop()) {
            (Some(verdict), None) => Ok(verdict),
            (Some(Verdict::Right(logged) | Verdict::Forgetting(logged)), Some(_)) => Ok(Verdict::Either(logged)),
            _ => bail!("it served {} requests then: {refusals:#?}", refusals.len()),
        }
    }
}

/// How many requests of a goroutine an observation is compared with: it takes less time than those.
const NEIGHBOURS: usize = 1000;

/// When a goroutine can have been seen to serve the request at `place` of its own.
///
/// The handler, which logs, is not all: net/http begins to serve when it has read the head of the request, and ends when
/// it has flushed the answer. Before, the goroutine had left the one before it (a connection of HTTP/1 serves one after
/// the other), and afterwards it forgets this one before it reads the next. The service logs when it leaves one too, but
/// forgets it some instructions later, between which it may be interrupted.
fn served(requests: &[&LoggedRequest], place: usize) -> RangeInclusive<i64> {
    let before = place.checked_sub(1).and_then(|place| requests.get(place));
    let after = requests.get(place + 1);
    before.map_or(i64::MIN, |before| before.end.max(before.left))..=after.map_or(i64::MAX, |after| after.start)
}

fn is_waiting(status: Status) -> bool {
    matches!(status, Status::Waiting | Status::Syscall)
}

/// Checks that all that was read of a request is what its handler saw.
///
/// # Errors
/// What is not.
fn agrees(seen: &Request, logged: &LoggedRequest) -> Result<()> {
    let protocol = match logged.listener.as_str() {
        "own" | "workers" | "http" | "net/http" | "xnet" | "x/net" => Protocol::Grpc,
        _ if logged.proto == "HTTP/2.0" => Protocol::Http2,
        _ => Protocol::Http1,
    };
    ensure!(seen.protocol == protocol, "{:?} is {:?}", seen.protocol, logged.proto);
    ensure!(seen.method.as_deref() == Some(&logged.method), "method {:?} is {:?}", seen.method, logged.method);
    ensure!(seen.path.as_deref() == Some(&logged.path), "path {:?} is {:?}", seen.path, logged.path);
    // What is not seen is not wrong; the tally counts it.
    let route = seen.route.as_deref().is_none_or(|route| route == logged.route);
    ensure!(route, "route {:?} is {:?}", seen.route, logged.route);
    let id = Some(logged.ids.x_request_id.as_str()).filter(|id| !id.is_empty());
    let same = seen.request_id.is_none() || seen.request_id.as_deref() == id;
    ensure!(same, "request id {:?} is {id:?}", seen.request_id);
    let trace = seen.trace.map(|trace| (trace.trace_id.0, trace.span_id.map(|span| span.0)));
    let truth = match logged.ids.trace() {
        Some((trace, span)) => Some((u128::from_str_radix(trace, 16)?, Some(u64::from_str_radix(span, 16)?))),
        None => None,
    };
    let partly = truth.map(|(trace, _)| (trace, None));
    ensure!(trace.is_none() || trace == truth || trace == partly, "trace {:x?} is {:x?}", seen.trace, logged.ids);
    Ok(())
}

/// Whether all the ids that a request came with were seen.
pub(crate) fn has_all_ids(seen: &Request, logged: &LoggedRequest) -> bool {
    let has_span = seen.trace.is_some_and(|trace| trace.span_id.is_some());
    has_span == logged.ids.trace().is_some() && seen.request_id.is_some() != logged.ids.x_request_id.is_empty()
}
