//! Entries that stand otherwise in a recording than in memory.

use serde::{Deserialize, Serialize};

use crate::{
    Accounting, LabelSetId, LocationId, Protocol, Request, Sample, Serving, Sighting, Span, StackId, State, StringId,
};

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

/// The accounting of format version 1, which knows nothing of how uneven the ticks came.
#[derive(Deserialize)]
pub(super) struct AccountingV1 {
    rate_hz: f64,
    ticks: u64,
    late_ticks: u64,
    accepted: u64,
    proven: u64,
    changed: u64,
    broken: u64,
    unmapped: u64,
    spread_ns: u64,
    unplaced_ns: u64,
    cpu_samples: u64,
    cpu_samples_lost: u64,
    expected_ns: u64,
    goroutine_ticks: u64,
    own_cpu_ns: u64,
    first_look_ns: u64,
    max_cpu: Option<f64>,
    remarks: Vec<String>,
}

impl From<AccountingV1> for Accounting {
    fn from(old: AccountingV1) -> Accounting {
        Accounting {
            squared_intervals_us2: 0,
            torn: 0,
            rate_hz: old.rate_hz,
            ticks: old.ticks,
            late_ticks: old.late_ticks,
            accepted: old.accepted,
            proven: old.proven,
            changed: old.changed,
            broken: old.broken,
            unmapped: old.unmapped,
            spread_ns: old.spread_ns,
            unplaced_ns: old.unplaced_ns,
            cpu_samples: old.cpu_samples,
            cpu_samples_lost: old.cpu_samples_lost,
            expected_ns: old.expected_ns,
            goroutine_ticks: old.goroutine_ticks,
            own_cpu_ns: old.own_cpu_ns,
            first_look_ns: old.first_look_ns,
            max_cpu: old.max_cpu,
            remarks: old.remarks,
        }
    }
}

/// The accounting of format versions 2 and 3, which did not count torn stacks.
#[derive(Deserialize)]
pub(super) struct AccountingV3 {
    rate_hz: f64,
    ticks: u64,
    late_ticks: u64,
    squared_intervals_us2: u64,
    accepted: u64,
    proven: u64,
    changed: u64,
    broken: u64,
    unmapped: u64,
    spread_ns: u64,
    unplaced_ns: u64,
    cpu_samples: u64,
    cpu_samples_lost: u64,
    expected_ns: u64,
    goroutine_ticks: u64,
    own_cpu_ns: u64,
    first_look_ns: u64,
    max_cpu: Option<f64>,
    remarks: Vec<String>,
}

impl From<AccountingV3> for Accounting {
    fn from(old: AccountingV3) -> Accounting {
        Accounting {
            torn: 0,
            rate_hz: old.rate_hz,
            ticks: old.ticks,
            late_ticks: old.late_ticks,
            squared_intervals_us2: old.squared_intervals_us2,
            accepted: old.accepted,
            proven: old.proven,
            changed: old.changed,
            broken: old.broken,
            unmapped: old.unmapped,
            spread_ns: old.spread_ns,
            unplaced_ns: old.unplaced_ns,
            cpu_samples: old.cpu_samples,
            cpu_samples_lost: old.cpu_samples_lost,
            expected_ns: old.expected_ns,
            goroutine_ticks: old.goroutine_ticks,
            own_cpu_ns: old.own_cpu_ns,
            first_look_ns: old.first_look_ns,
            max_cpu: old.max_cpu,
            remarks: old.remarks,
        }
    }
}

/// A request of format versions 2 and 3, which do not have the looks that bound it. It is without its spans: those are many,
/// so they have a table of their own whose length is known before it is read.
#[derive(Deserialize, Serialize)]
pub(super) struct RequestV3 {
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

/// A request without its spans.
#[derive(Deserialize, Serialize)]
pub(super) struct RequestEntry(RequestV3, Option<Sighting>);

/// A span, and the index of its request.
pub(super) type SpanEntry = (u32, Span);

impl From<&Request> for RequestEntry {
    fn from(request: &Request) -> RequestEntry {
        let Request { protocol, method, path, pattern, route, trace_id, span_id, request_id, .. } = *request;
        let Request { goid, first_ns, last_ns, sighting, .. } = *request;
        let entry = RequestV3 {
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
        };
        RequestEntry(entry, sighting)
    }
}

impl From<RequestEntry> for Request {
    fn from(RequestEntry(entry, sighting): RequestEntry) -> Request {
        Request { sighting, ..entry.into() }
    }
}

impl From<RequestV3> for Request {
    fn from(entry: RequestV3) -> Request {
        let RequestV3 { protocol, method, path, pattern, route, trace_id, span_id, request_id, .. } = entry;
        let RequestV3 { goid, first_ns, last_ns, .. } = entry;
        let (sighting, spans) = (None, Vec::new());
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
            sighting,
            spans,
        }
    }
}
