//! The few headers that say which request one is.

use fgspy_memory::Range;

use super::look::{Look, No};
use super::trace::{b3_multi, b3_single, traceparent, uber_trace_id};
use super::{MAX_TEXT, Mismatch, Protocol, Trace};
use crate::maps::{Entry, Head, Maps};
use crate::strings::{StringHeader, text};

/// The names of the headers that are read, in lower case: Go's HTTP server writes `X-Request-Id`, gRPC `x-request-id`.
const WANTED: [&str; 6] = ["traceparent", "b3", "x-b3-traceid", "x-b3-spanid", "uber-trace-id", "x-request-id"];
/// Read of HTTP/2 besides.
const CONTENT_TYPE: &str = "content-type";

/// What the headers say.
#[derive(Clone, Debug, Default)]
pub(super) struct Headers {
    pub(super) trace: Option<Trace>,
    pub(super) request_id: Option<String>,
    pub(super) is_grpc: bool,
}

/// Reads a map from names to slices of values (`net/http.Header`, `google.golang.org/grpc/metadata.MD`).
pub(super) async fn read(look: &Look<'_>, maps: &Maps, head: &Head, protocol: Protocol) -> Result<Headers, No> {
    let reads = look.shared.reads;
    if head.is_written {
        return Err(No::Torn);
    }
    let unmapped = No::Unknown(Mismatch::Unmapped);
    let entries = maps.entries(reads, head, 24).await.ok_or(unmapped)?;
    let is_wanted_len = |len| {
        let content_type = protocol != Protocol::Http1 && len == CONTENT_TYPE.len() as u64;
        content_type || WANTED.iter().any(|name| name.len() as u64 == len)
    };
    let looked_at = entries.iter().filter(|entry| is_wanted_len(entry.key.len) && entry.value[1] != 0);
    let looked_at: Vec<&Entry> = looked_at.collect();
    // Of several values the first counts. Where it is, is read along with the names, though not all of them are wanted.
    let firsts: Vec<Range> = looked_at.iter().map(|entry| Range { addr: entry.value[0], len: 16 }).collect();
    let names = looked_at.iter().map(|entry| entry.key.range(MAX_TEXT));
    let is_content_type =
        |name: &[u8]| protocol != Protocol::Http1 && CONTENT_TYPE.as_bytes().eq_ignore_ascii_case(name);
    let mut values: Vec<(&str, StringHeader)> = Vec::new();
    let (names, firsts) = look.constants_and(names, &firsts).await;
    for (name, first) in names.into_iter().zip(firsts) {
        let name = name.ok_or(unmapped)?;
        let known = WANTED.iter().find(|wanted| wanted.as_bytes().eq_ignore_ascii_case(&name)).copied();
        if let Some(name) = known.or(Some(CONTENT_TYPE).filter(|_| is_content_type(&name))) {
            values.push((name, first.and_then(|first| StringHeader::at(&first, 0)).ok_or(unmapped)?));
        }
    }
    let ranges: Vec<_> = values.iter().map(|(_, value)| value.range(MAX_TEXT)).collect();
    let copies = reads.get_all(&ranges).await;
    let mut found: Vec<(&str, String)> = Vec::new();
    for ((name, value), copy) in values.iter().zip(copies) {
        found.push((name, text(&copy.ok_or(unmapped)?, value.len)));
    }
    Ok(understand(&found))
}

fn understand(headers: &[(&str, String)]) -> Headers {
    let value = |name: &str| headers.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str());
    let trace = value("traceparent")
        .and_then(traceparent)
        .or_else(|| value("b3").and_then(b3_single))
        .or_else(|| value("x-b3-traceid").and_then(|trace| b3_multi(trace, value("x-b3-spanid"))))
        .or_else(|| value("uber-trace-id").and_then(uber_trace_id));
    Headers {
        trace,
        request_id: value("x-request-id").map(str::to_owned).filter(|id| !id.is_empty()),
        is_grpc: value(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/grpc")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{TraceId, TraceSource};
    use super::*;

    fn understood(headers: &[(&'static str, &str)]) -> Headers {
        understand(&headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect::<Vec<_>>())
    }

    #[test]
    fn the_first_trace_that_is_one_counts() {
        let b3 = ("b3", "00000000000000000000000000000abc-00000000000000aa-1");
        let source = |headers: &[(&'static str, &str)]| understood(headers).trace.map(|trace| trace.source);
        assert_eq!(source(&[("traceparent", "nonsense"), b3]), Some(TraceSource::B3Single));
        let parent = ("traceparent", "00-00000000000000000000000000000abc-00000000000000aa-01");
        assert_eq!(source(&[b3, parent]), Some(TraceSource::Traceparent));
        assert_eq!(source(&[("b3", "0")]), None);
        let multi = understood(&[("x-b3-spanid", "00000000000000aa"), ("x-b3-traceid", "0000000000000abc")]);
        assert_eq!(multi.trace.map(|trace| trace.trace_id), Some(TraceId(0xabc)));
        assert_eq!(source(&[("uber-trace-id", "abc:aa:0:1")]), Some(TraceSource::UberTraceId));
    }

    #[test]
    fn grpc_is_told_by_its_content_type() {
        assert!(understood(&[("content-type", "application/grpc+proto")]).is_grpc);
        assert!(!understood(&[("content-type", "application/json")]).is_grpc);
    }
}
