//! Programs that nobody here wrote, and what the clients of such a one know of its requests.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::requests::SentRequest;
use fgspy_goroutines::Request;

use crate::watch::Seen;

/// What became of the observations of a program, of which only clients know what it served.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Requests seen that are of our clients, and right.
    pub(crate) right: u64,
    /// Of those, after the client had the answer.
    answered: u64,
    /// Requests seen that nothing tells from others.
    nameless: u64,
}

/// Compares what was seen of a program with what clients sent to it. Each client has one connection of HTTP/1, on which it
/// sends one request after the other.
///
/// # Errors
/// When a request was seen that was not sent, or not under way, or at a goroutine that serves another client, or when
/// something was read that is nobody's business.
pub(crate) fn compare(sent: &[SentRequest], all_seen: &[Seen]) -> Result<Known> {
    let mut by_number: BTreeMap<(u64, u64), &SentRequest> = BTreeMap::new();
    for request in sent {
        by_number.extend(request.number().map(|number| (number, request)));
    }
    let by_trace: HashMap<u128, (u64, u64)> = by_number
        .iter()
        .filter_map(|(number, request)| Some((u128::from_str_radix(&request.trace, 16).ok()?, *number)))
        .collect();
    let mut clients: HashMap<u64, u64> = HashMap::new();
    let mut known = Known::default();
    for seen in all_seen {
        let Some(request) = &seen.request else { continue };
        let said = format!("{request:?}");
        ensure!(!said.contains("secret"), "this should not have been read: {said}");
        let Some(number) = number_of(request, &by_trace).with_context(|| said.clone())? else {
            known.nameless += 1;
            continue;
        };
        let sent = by_number.get(&number).with_context(|| format!("{number:?} was not sent: {said}"))?;
        let id = format!("request-{}-{}", number.0, number.1);
        ensure!(request.request_id.as_ref().is_none_or(|seen| *seen == id), "{id} is {said}");
        ensure!(request.path.as_deref() == Some(&sent.path), "{sent:?} is {said}");
        // The server is done with it when it reads the next one, which the client has sent by then.
        let next = by_number.range((number.0, number.1 + 1)..(number.0 + 1, 0)).next();
        let end = next.map_or(i64::MAX, |(_, next)| next.end);
        let served = sent.start <= seen.after && seen.before <= end;
        ensure!(served, "{sent:?} was not under way, nor before {next:?}: {seen:?}");
        let client = *clients.entry(seen.goid).or_insert(number.0);
        ensure!(client == number.0, "goroutine {} serves client {client}, and {number:?}", seen.goid);
        known.right += 1;
        known.answered += u64::from(seen.before > sent.end);
    }
    Ok(known)
}

/// Which request of which client was seen; `None` when nothing identifies it.
fn number_of(request: &Request, by_trace: &HashMap<u128, (u64, u64)>) -> Result<Option<(u64, u64)>> {
    if let Some(trace) = request.trace {
        let number = by_trace.get(&trace.trace_id.0);
        return number.copied().map(Some).with_context(|| format!("nobody sent trace {}", trace.trace_id));
    }
    let Some(id) = &request.request_id else { return Ok(None) };
    let sent = SentRequest { path: String::new(), trace: id.clone(), start: 0, end: 0, status: 0 };
    sent.number().map(Some).with_context(|| format!("nobody sent request {id}"))
}
