//! The labels of samples: our own, those of the request, those of the target.

use std::collections::HashMap;

use fgspy_profile::{Profile, Protocol, Request, RequestId, Sample, SampleKey, Serving, StringId};

use super::{Strings, proto};

/// The keys of our own labels, and which requests have equal ones.
pub(super) struct Labels {
    state: i64,
    wait_reason: i64,
    idle: i64,
    trace_id: i64,
    span_id: i64,
    request_id: i64,
    http_method: i64,
    http_route: i64,
    rpc_method: i64,
    /// For each request, the first one that has the same labels.
    first_alike: Vec<RequestId>,
}

impl Labels {
    pub(super) fn new(profile: &Profile, strings: &mut Strings<'_>) -> Labels {
        let mut labels = Labels {
            state: strings.id("state"),
            wait_reason: strings.id("wait_reason"),
            idle: strings.id("idle"),
            trace_id: strings.id("trace_id"),
            span_id: strings.id("span_id"),
            request_id: strings.id("request_id"),
            http_method: strings.id("http.method"),
            http_route: strings.id("http.route"),
            rpc_method: strings.id("rpc.method"),
            first_alike: Vec::new(),
        };
        let mut first = HashMap::new();
        let ids = profile.requests.iter().enumerate();
        let alike = ids.map(|(id, request)| *first.entry(labels.of_request(request)).or_insert(RequestId(id as u32)));
        labels.first_alike = alike.collect();
        labels
    }

    /// What tells samples apart here: not the goroutine, not who started it, and of requests only their labels.
    pub(super) fn key(&self, sample: &Sample) -> SampleKey {
        let serving = match sample.serving {
            Serving::Request(id) => {
                self.first_alike.get(id.index()).map_or(Serving::Unknown, |&id| Serving::Request(id))
            }
            Serving::Nothing => Serving::Unknown,
            other => other,
        };
        SampleKey { goid: 0, creator: None, serving, ..sample.key() }
    }

    /// Keys and values of a request; values that are not known are the empty string, which is 0.
    fn of_request(&self, request: &Request) -> [(i64, StringId); 6] {
        let Request { method, path, route, trace_id, span_id, request_id, .. } = *request;
        let none = StringId(0);
        let (method, route, rpc) = match request.protocol {
            Protocol::Http1 | Protocol::Http2 => (method, route, none),
            Protocol::Grpc => (none, none, path),
            Protocol::Labels => (none, none, none),
        };
        [
            (self.trace_id, trace_id),
            (self.span_id, span_id),
            (self.request_id, request_id),
            (self.http_method, method),
            (self.http_route, route),
            (self.rpc_method, rpc),
        ]
    }

    /// All labels of a sample.
    pub(super) fn of(&self, profile: &Profile, strings: &mut Strings<'_>, sample: &Sample) -> Vec<proto::Label> {
        let label = |key, str| proto::Label { key, str, num: 0, num_unit: 0 };
        let mut labels = vec![label(self.state, strings.id(sample.state.word()))];
        match profile.wait_reason(sample) {
            "" => {}
            reason => labels.push(label(self.wait_reason, strings.id(reason))),
        }
        let mut own: Vec<proto::Label> = Vec::new();
        let has = |wanted: &str| profile.labels(sample.labels).any(|(key, _)| key == wanted);
        let named = profile.labels(sample.labels).filter(|(key, value)| !key.is_empty() && !value.is_empty());
        for (key, value) in named {
            let key = match key {
                "state" | "wait_reason" => strings.id(&renamed(key, has)),
                other => strings.id(other),
            };
            own.push(label(key, strings.id(value)));
        }
        let is_free = |key: i64| own.iter().all(|own| own.key != key);
        if let Some(request) = profile.request_of(sample) {
            let known = self.of_request(request).into_iter().filter(|(_, value)| !profile.string(*value).is_empty());
            labels.extend(known.filter(|(key, _)| is_free(*key)).map(|(key, value)| label(key, value.0.into())));
        }
        if let Some(idle) = sample.serving.idle().filter(|_| is_free(self.idle)) {
            labels.push(label(self.idle, strings.id(idle.word())));
        }
        labels.extend(own);
        labels
    }
}

/// What a label of the target is called whose key is one of ours: a key that the target does not have as well.
fn renamed(key: &str, has: impl Fn(&str) -> bool) -> String {
    let mut renamed = format!("label.{key}");
    while has(&renamed) {
        renamed.insert_str(0, "label.");
    }
    renamed
}
