//! Jobs: what goroutines work on that serve no request, and have labels of `runtime/pprof` that say what it is.
//!
//! Consumers of messages, cron jobs and frameworks that fgspy does not know have no request to be read from their stacks.
//! But instrumentation (OpenTelemetry with Pyroscope, Datadog's, one's own) labels the goroutines that work on a span, and Go
//! hands labels down to the goroutines that these start.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

use super::trace::{TraceId, job_name, root_span, trace_of_labels};
use super::{Identity, MAX_TEXT, Protocol, Request};
use crate::labels::Labels;
use crate::strings::text;

/// The job that labels name by a trace, or else by a span; `None` when they name neither. Its name is that of the operation if
/// they have one, else `otherwise`.
pub fn job(labels: &Labels, otherwise: impl FnOnce() -> Option<String>) -> Option<Request> {
    let trace = trace_of_labels(labels);
    // Spans within a job do not make it another one.
    let span = root_span(labels).filter(|_| trace.is_none());
    let identity = match (trace, span) {
        (Some(trace), _) => job_of_trace(trace.trace_id),
        (None, Some(span)) => identity(("span", span.0)),
        (None, None) => return None,
    };
    let name = job_name(labels).map(str::to_owned).or_else(otherwise);
    let cut = |name: &str| text(name.as_bytes().get(..MAX_TEXT).unwrap_or(name.as_bytes()), name.len() as u64);
    Some(Request {
        identity,
        protocol: Protocol::Labels,
        method: None,
        path: name.as_deref().map(cut),
        route: None,
        trace,
        request_id: span.map(|(_, label)| cut(label)),
    })
}

/// What [`job`] identifies the job by whose labels name `trace`.
pub fn job_of_trace(trace: TraceId) -> Identity {
    identity(("trace", trace))
}

fn identity(of: impl Hash) -> Identity {
    let mut hasher = FxHasher::default();
    of.hash(&mut hasher);
    Identity(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn of(labels: &[(&str, &str)]) -> Option<Request> {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        job(&labels, || Some("main.work".to_owned()))
    }

    #[test]
    fn a_trace_makes_a_job_whatever_its_spans() {
        let job = of(&[("trace_id", TRACE), ("span_id", SPAN)]).unwrap();
        assert_eq!((job.path.as_deref(), job.request_id), (Some("main.work"), None));
        assert_eq!(job.trace.unwrap().trace_id.to_string(), TRACE);
        assert_eq!(of(&[("trace_id", TRACE)]).unwrap().identity, job.identity);
        assert_eq!(job_of_trace(job.trace.unwrap().trace_id), job.identity);
        assert_ne!(of(&[("trace_id", SPAN)]).unwrap().identity, job.identity);
    }

    #[test]
    fn a_span_will_do() {
        let job = of(&[("profile_id", SPAN), ("span_name", "charge card")]).unwrap();
        assert_eq!((job.path.as_deref(), job.request_id.as_deref()), (Some("charge card"), Some(SPAN)));
        assert_eq!(of(&[("span_name", "charge card")]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn spans_of_one_root_are_one_job() {
        let of = |span| of(&[("local root span id", "17"), ("span id", span), ("trace endpoint", "consume")]).unwrap();
        assert_eq!(of("17").identity, of("23").identity);
        assert_eq!((of("23").path.as_deref(), of("23").request_id.as_deref()), (Some("consume"), Some("17")));
    }

    #[test]
    fn names_are_short_and_clean() {
        let long = "x".repeat(600);
        let path = |name: &str| of(&[("trace_id", TRACE), ("job", name)]).unwrap().path.unwrap();
        assert_eq!(path("a\nb"), "a\u{fffd}b");
        assert_eq!(path(&long), format!("{}…", &long[..MAX_TEXT]));
    }
}
