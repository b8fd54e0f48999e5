//! Entries that stand otherwise in a recording than in memory.

use serde::{Deserialize, Serialize};

use crate::{LabelSetId, LocationId, Protocol, Request, Sample, Serving, Span, StackId, State, StringId};

/// A sample of format version 1, which knows nothing of requests.
#[derive(Deserialize)]
pub(super) struct SampleV1 {
    stack: StackId,
    goid: u64,
    state: State,
    wait_reason: Option<StringId>,
    labels: LabelSetId,
    creator: Option<LocationId>,
    count: u64,
    time_ns: u64,
    variance_us2: u64,
}

impl From<SampleV1> for Sample {
    fn from(old: SampleV1) -> Sample {
        let SampleV1 { stack, goid, state, wait_reason, labels, creator, count, time_ns, variance_us2 } = old;
        let serving = Serving::Unknown;
        Sample { stack, goid, state, wait_reason, labels, creator, serving, count, time_ns, variance_us2 }
    }
}

/// A request without its spans: those are many, so they have a table of their own whose length is known before it is
/// read.
#[derive(Deserialize, Serialize)]
pub(super) struct RequestEntry {
    protocol: Protocol,
    method: StringId,
    path: StringId,
    pattern: StringId,
    route: StringId,
    trace_id: StringId,
    span_id: StringId,
    request_id: StringId,
    goid: u64,
    first_ns: u64,
    last_ns: u64,
}

/// A span, and the index of its request.
pub(super) type SpanEntry = (u32, Span);

impl From<&Request> for RequestEntry {
    fn from(request: &Request) -> RequestEntry {
        let Request { protocol, method, path, pattern, route, trace_id, span_id, request_id, .. } = *request;
        let Request { goid, first_ns, last_ns, .. } = *request;
        RequestEntry { protocol, method, path, pattern, route, trace_id, span_id, request_id, goid, first_ns, last_ns }
    }
}

impl From<RequestEntry> for Request {
    fn from(entry: RequestEntry) -> Request {
        let RequestEntry { protocol, method, path, pattern, route, trace_id, span_id, request_id, .. } = entry;
        let RequestEntry { goid, first_ns, last_ns, .. } = entry;
        let spans = Vec::new();
        Request {
            protocol,
            method,
            path,
            pattern,
            route,
            trace_id,
            span_id,
            request_id,
            goid,
            first_ns,
            last_ns,
            spans,
        }
    }
}
