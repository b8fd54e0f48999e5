//! Trace contexts, as requests and profiler labels carry them.

use std::fmt;

use crate::labels::Labels;

/// The trace that a request is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Trace {
    /// The trace.
    pub trace_id: TraceId,
    /// The span that sent the request (of a header), or that the goroutine works for (of a label).
    pub span_id: Option<SpanId>,
    /// Where this was found.
    pub source: TraceSource,
}

/// A trace id of 16 bytes; ids of 8 bytes are the low half. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(pub u128);

/// A span id of 8 bytes. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId(pub u64);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Where a trace id was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TraceSource {
    /// The header `traceparent` (W3C Trace Context).
    Traceparent,
    /// The header `b3`.
    B3Single,
    /// The headers `X-B3-TraceId` and `X-B3-SpanId`.
    B3Multi,
    /// The header `uber-trace-id` (Jaeger).
    UberTraceId,
    /// Labels of `runtime/pprof`.
    Labels,
}

impl TraceSource {
    /// A word for it.
    pub const fn word(self) -> &'static str {
        match self {
            TraceSource::Traceparent => "traceparent",
            TraceSource::B3Single => "b3",
            TraceSource::B3Multi => "x-b3-traceid",
            TraceSource::UberTraceId => "uber-trace-id",
            TraceSource::Labels => "labels",
        }
    }
}

/// Keys of labels that hold a trace id, compared without regard to case and to `_`, `-`, `.` and spaces.
const TRACE_KEYS: [&str; 3] = ["traceid", "trace", "oteltraceid"];
/// Keys of labels that hold a span id. Pyroscope's OpenTelemetry bridge sets `profile_id` (the id of the root span) and
/// `span_id`, Datadog's profiler `span id` and `local root span id`.
const SPAN_KEYS: [&str; 5] = ["spanid", "span", "otelspanid", "profileid", "localrootspanid"];

/// Keys of labels that name what a goroutine works on, the most telling first. Datadog's profiler sets `trace endpoint`,
/// Pyroscope's OpenTelemetry bridge `span_name`.
const NAME_KEYS: [&str; 9] =
    ["httproute", "traceendpoint", "spanname", "endpoint", "route", "operation", "handler", "job", "task"];

/// What a goroutine's `runtime/pprof` labels call that which it works on.
pub(super) fn job_name(labels: &Labels) -> Option<&str> {
    find(labels, &NAME_KEYS).filter(|name| !name.is_empty())
}

/// The trace that a goroutine's `runtime/pprof` labels name. A span alone is no trace: see [`span_of_labels`].
pub fn trace_of_labels(labels: &Labels) -> Option<Trace> {
    let trace_id = find(labels, &TRACE_KEYS).and_then(parse_trace_id)?;
    Some(Trace { trace_id, span_id: span_of_labels(labels), source: TraceSource::Labels })
}

/// The span that a goroutine's `runtime/pprof` labels name.
pub fn span_of_labels(labels: &Labels) -> Option<SpanId> {
    SPAN_KEYS.iter().find_map(|key| find(labels, &[key]).and_then(parse_span_id))
}

/// The value of the first of `keys` that is there.
fn find<'a>(labels: &'a Labels, keys: &[&str]) -> Option<&'a str> {
    let plain = |key: &str| -> String {
        key.chars().filter(|c| !matches!(c, '_' | '-' | '.' | ' ')).map(|c| c.to_ascii_lowercase()).collect()
    };
    keys.iter().find_map(|wanted| {
        labels.iter().find(|(key, _)| key.len() <= 32 && plain(key) == *wanted).map(|(_, value)| value.as_str())
    })
}

/// A number of at most `digits` hexadecimal digits that is not 0.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let fits = !text.is_empty() && text.len() <= digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u128::from_str_radix(text, 16).ok().filter(|id| fits && *id != 0)
}

/// A trace id in hexadecimal, with or without dashes as in a UUID, of 16 or 32 digits.
fn parse_trace_id(text: &str) -> Option<TraceId> {
    let digits: String = text.chars().take(48).filter(|c| *c != '-').collect();
    matches!(digits.len(), 16 | 32).then(|| hex(&digits, 32)).flatten().map(TraceId)
}

/// A span id of 16 hexadecimal digits.
fn parse_span_id(text: &str) -> Option<SpanId> {
    Some(text).filter(|text| text.len() == 16).and_then(|text| hex(text, 16)).map(|id| SpanId(id as u64))
}

/// `traceparent`: `00-<32 hexadecimal digits>-<16>-<2>`, more parts in later versions (W3C Trace Context, section 3.2.2).
pub(crate) fn traceparent(value: &str) -> Option<Trace> {
    let mut parts = value.trim().split('-');
    let version = parts.next().filter(|version| version.len() == 2 && is_lower_hex(version) && *version != "ff")?;
    let trace_id = parts.next().filter(|id| id.len() == 32 && is_lower_hex(id))?;
    let span_id = parts.next().filter(|id| id.len() == 16 && is_lower_hex(id))?;
    parts.next().filter(|flags| flags.len() == 2 && is_lower_hex(flags))?;
    if version == "00" && parts.next().is_some() {
        return None;
    }
    Some(Trace {
        trace_id: parse_trace_id(trace_id)?,
        span_id: Some(parse_span_id(span_id)?),
        source: TraceSource::Traceparent,
    })
}

/// `b3`: `<trace>-<span>[-<sampled>[-<parent>]]`, or only a decision about sampling (openzipkin/b3-propagation).
pub(crate) fn b3_single(value: &str) -> Option<Trace> {
    let mut parts = value.trim().split('-');
    let trace_id = parts.next().and_then(parse_trace_id)?;
    let span_id = Some(parts.next().and_then(parse_span_id)?);
    Some(Trace { trace_id, span_id, source: TraceSource::B3Single })
}

/// `X-B3-TraceId`, and `X-B3-SpanId` if that is there.
pub(crate) fn b3_multi(trace: &str, span: Option<&str>) -> Option<Trace> {
    let span_id = span.and_then(|span| parse_span_id(span.trim()));
    Some(Trace { trace_id: parse_trace_id(trace.trim())?, span_id, source: TraceSource::B3Multi })
}

/// `uber-trace-id`: `<trace>:<span>:<parent>:<flags>`, leading zeros left out, perhaps with `%3A` for each colon (Jaeger
/// client libraries, "Propagation Format").
pub(crate) fn uber_trace_id(value: &str) -> Option<Trace> {
    let value = value.trim().replace("%3A", ":").replace("%3a", ":");
    let parts: Vec<&str> = value.split(':').collect();
    let [trace, span, _parent, _flags] = parts.as_slice() else { return None };
    let span_id = SpanId(u64::try_from(hex(span, 16)?).ok()?);
    Some(Trace { trace_id: TraceId(hex(trace, 32)?), span_id: Some(span_id), source: TraceSource::UberTraceId })
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
    const SPAN: u64 = 0x00f0_67aa_0ba9_02b7;

    fn ids(trace: Option<Trace>) -> Option<(u128, Option<u64>)> {
        trace.map(|trace| (trace.trace_id.0, trace.span_id.map(|span| span.0)))
    }

    #[test]
    fn traceparents() {
        let known = Some((TRACE, Some(SPAN)));
        assert_eq!(ids(traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")), known);
        assert_eq!(ids(traceparent("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later")), known);
        for wrong in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ] {
            assert_eq!(traceparent(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn b3s() {
        assert_eq!(ids(b3_single("4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1")), Some((TRACE, Some(SPAN))));
        assert_eq!(ids(b3_single("a3ce929d0e0e4736-00f067aa0ba902b7")), Some((TRACE as u64 as u128, Some(SPAN))));
        assert_eq!(b3_single("0"), None);
        assert_eq!(b3_single("d"), None);
        assert_eq!(b3_single("4bf92f3577b34da6a3ce929d0e0e4736"), None);
        assert_eq!(ids(b3_multi("a3ce929d0e0e4736", Some("zz"))), Some((TRACE as u64 as u128, None)));
        assert_eq!(b3_multi("a3ce929d0e0e47361", None), None);
    }

    #[test]
    fn uber_trace_ids() {
        assert_eq!(
            ids(uber_trace_id("4bf92f3577b34da6a3ce929d0e0e4736:f067aa0ba902b7:0:1")),
            Some((TRACE, Some(SPAN)))
        );
        assert_eq!(ids(uber_trace_id("1f%3A2a%3A0%3A1")), Some((0x1f, Some(0x2a))));
        assert_eq!(uber_trace_id("0:2:0:1"), None);
        assert_eq!(uber_trace_id("1:2:0"), None);
        assert_eq!(uber_trace_id("+1:2:0:1"), None);
    }

    #[test]
    fn labels_name_traces_in_many_ways() {
        let labels = |pairs: &[(&str, &str)]| -> Labels {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let (trace, span) = (format!("{TRACE:032x}"), format!("{SPAN:016x}"));
        for (trace_key, span_key) in [
            ("trace_id", "span_id"),
            ("traceID", "spanID"),
            ("trace.id", "profile_id"),
            ("Trace-Id", "local root span id"),
        ] {
            let found = trace_of_labels(&labels(&[(trace_key, &trace), (span_key, &span), ("x", "y")]));
            assert_eq!(ids(found), Some((TRACE, Some(SPAN))), "{trace_key} {span_key}");
        }
        let uuid = labels(&[("trace_id", "4bf92f35-77b3-4da6-a3ce-929d0e0e4736")]);
        assert_eq!(ids(trace_of_labels(&uuid)), Some((TRACE, None)));
        assert_eq!(trace_of_labels(&labels(&[("trace_id", "17"), ("span_id", &span)])), None);
        assert_eq!(span_of_labels(&labels(&[("span_id", &span)])), Some(SpanId(SPAN)));
        assert_eq!(trace_of_labels(&labels(&[])), None);
    }
}
