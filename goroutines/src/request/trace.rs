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

/// How the value of a label writes an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digits {
    /// 16 or 32 hexadecimal digits: OpenTelemetry, Pyroscope.
    Hexadecimal,
    /// A decimal `uint64`: Datadog.
    Decimal,
}

/// Keys of labels that hold a trace id, compared without regard to case and to `_`, `-`, `.` and spaces.
const TRACE_KEYS: [&str; 4] = ["traceid", "trace", "oteltraceid", "ddtraceid"];
/// Keys of labels that hold the span that a goroutine works for, compared in the same way. Pyroscope's OpenTelemetry bridge sets
/// `span_id`, or `profile_id` (grafana/otel-profiling-go, `otelpyroscope.go`), Datadog's tracer `span id` and `local root span id`
/// (DataDog/dd-trace-go, `internal/traceprof/traceprof.go`).
const SPAN_KEYS: [&str; 6] = ["spanid", "span", "otelspanid", "ddspanid", "profileid", "localrootspanid"];
/// The same, those first that stay the same for all spans of one piece of work.
const ROOT_KEYS: [&str; 6] = ["localrootspanid", "profileid", "spanid", "span", "otelspanid", "ddspanid"];

/// How a label with this key writes its id. Datadog's tracer has spaces in its keys, and decimal ids, which may have 16 digits
/// as well (`applyPPROFLabels` in `ddtrace/tracer/tracer.go`).
fn digits(key: &str) -> Digits {
    let is_datadog = key.contains(' ') || key.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("dd"));
    if is_datadog { Digits::Decimal } else { Digits::Hexadecimal }
}

/// Keys of labels that name what a goroutine works on, the most telling first. Datadog's profiler sets `trace endpoint`,
/// Pyroscope's OpenTelemetry bridge `span_name`.
const NAME_KEYS: [&str; 9] =
    ["httproute", "traceendpoint", "spanname", "endpoint", "route", "operation", "handler", "job", "task"];

/// What a goroutine's `runtime/pprof` labels call that which it works on.
pub(super) fn job_name(labels: &Labels) -> Option<&str> {
    find(labels, &NAME_KEYS, |_, name| Some(name).filter(|name| !name.is_empty()))
}

/// The trace that a goroutine's `runtime/pprof` labels name. A span alone is no trace: see [`span_of_labels`].
pub fn trace_of_labels(labels: &Labels) -> Option<Trace> {
    let trace_id = find(labels, &TRACE_KEYS, |key, value| match (digits(key), parse_trace_id(value)) {
        // Datadog writes the 32 digits of a whole id in hexadecimal, and the lower half of one in decimal.
        (Digits::Hexadecimal, Some(id)) => Some(id),
        (Digits::Decimal, Some(id)) if value.len() > MAX_DECIMAL => Some(id),
        (Digits::Decimal, _) => number(value).map(|id| TraceId(id.into())),
        (Digits::Hexadecimal, None) => decimal(value).map(|id| TraceId(id.into())),
    })?;
    Some(Trace { trace_id, span_id: span_of_labels(labels), source: TraceSource::Labels })
}

/// The span that a goroutine's `runtime/pprof` labels name.
pub fn span_of_labels(labels: &Labels) -> Option<SpanId> {
    find(labels, &SPAN_KEYS, span)
}

/// The first span of the work that labels name, which its other spans have in common, and what the label says.
pub(super) fn root_span(labels: &Labels) -> Option<(SpanId, &str)> {
    find(labels, &ROOT_KEYS, |key, value| Some((span(key, value)?, value)))
}

fn span(key: &str, value: &str) -> Option<SpanId> {
    match digits(key) {
        Digits::Hexadecimal => parse_span_id(value).or_else(|| decimal(value).map(SpanId)),
        Digits::Decimal => number(value).map(SpanId).or_else(|| parse_span_id(value)),
    }
}

/// What `read` makes of the value of the first of `keys` of which it makes something.
fn find<'a, T>(labels: &'a Labels, keys: &[&str], read: impl Fn(&'a str, &'a str) -> Option<T>) -> Option<T> {
    let plain = |key: &str| -> String {
        key.chars().filter(|c| !matches!(c, '_' | '-' | '.' | ' ')).map(|c| c.to_ascii_lowercase()).collect()
    };
    keys.iter().find_map(|wanted| {
        let mut with_key = labels.iter().filter(|(key, _)| key.len() <= 32 && plain(key) == *wanted);
        with_key.find_map(|(key, value)| read(key, value))
    })
}

/// Decimal digits of the largest `uint64`.
const MAX_DECIMAL: usize = 20;

/// A decimal `uint64` that is not 0.
fn number(text: &str) -> Option<u64> {
    let is_one = !text.is_empty() && text.len() <= MAX_DECIMAL && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| is_one && *id != 0)
}

/// A decimal `uint64` that cannot be a hexadecimal id, because it has more digits.
fn decimal(text: &str) -> Option<u64> {
    number(text).filter(|_| text.len() > 16)
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
        for (trace_key, span_key) in
            [("trace_id", "span_id"), ("traceID", "spanID"), ("trace.id", "profile_id"), ("Trace-Id", "otel.span_id")]
        {
            let found = trace_of_labels(&labels(&[(trace_key, &trace), (span_key, &span), ("x", "y")]));
            assert_eq!(ids(found), Some((TRACE, Some(SPAN))), "{trace_key} {span_key}");
        }
        let uuid = labels(&[("trace_id", "4bf92f35-77b3-4da6-a3ce-929d0e0e4736")]);
        assert_eq!(ids(trace_of_labels(&uuid)), Some((TRACE, None)));
        assert_eq!(trace_of_labels(&labels(&[("trace_id", "17"), ("span_id", &span)])), None);
        assert_eq!(span_of_labels(&labels(&[("span_id", &span)])), Some(SpanId(SPAN)));
        assert_eq!(trace_of_labels(&labels(&[])), None);
    }

    #[test]
    fn the_key_says_whether_an_id_is_decimal() {
        let labels = |pairs: &[(&str, &str)]| -> Labels {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let span = |key: &str, value: &str| span_of_labels(&labels(&[(key, value)])).map(|span| span.0);
        // Sixteen digits may be either.
        let digits = "4611686018427387";
        assert_eq!(span("span id", digits), Some(4_611_686_018_427_387));
        assert_eq!(span("local root span id", digits), Some(4_611_686_018_427_387));
        assert_eq!(span("dd.span_id", digits), Some(4_611_686_018_427_387));
        assert_eq!(span("span_id", digits), Some(0x4611_6860_1842_7387));
        assert_eq!(span("profile_id", digits), Some(0x4611_6860_1842_7387));
        // What cannot be one is the other.
        assert_eq!(span("span id", "00f067aa0ba902b7"), Some(SPAN));
        assert_eq!(span("span_id", "18446744073709551615"), Some(u64::MAX));
        assert_eq!(span("span id", "7"), Some(7));
        for (key, wrong) in [
            ("span_id", "7"),
            ("span id", "0"),
            ("span id", ""),
            ("span id", "-7"),
            ("span id", "18446744073709551616"),
            ("span id", "184467440737095516150"),
        ] {
            assert_eq!(span(key, wrong), None, "{key} {wrong}");
        }
        let trace = |key: &str, value: &str| trace_of_labels(&labels(&[(key, value)])).map(|trace| trace.trace_id.0);
        assert_eq!(trace("dd.trace_id", digits), Some(4_611_686_018_427_387));
        assert_eq!(trace("trace_id", digits), Some(0x4611_6860_1842_7387));
        assert_eq!(trace("dd.trace_id", "4611686018427387904"), Some(1 << 62));
        assert_eq!(trace("dd.trace_id", &format!("{TRACE:032x}")), Some(TRACE));
    }

    #[test]
    fn the_root_of_a_piece_of_work_is_known_from_any_of_its_spans() {
        let labels: Labels = [("local root span id", "17"), ("span id", "23"), ("trace endpoint", "GET /x")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into_iter()
            .collect();
        assert_eq!(root_span(&labels), Some((SpanId(17), "17")));
        assert_eq!(span_of_labels(&labels), Some(SpanId(23)));
        assert_eq!(job_name(&labels), Some("GET /x"));
    }
}
