//! The text of a request.

use fgspy_memory::Range;

use super::parts::Place;
use crate::maps::HEAD_BYTES;
use crate::request::headers::{self, Headers};
use crate::request::look::{Look, No, is_data};
use crate::request::{MAX_TEXT, Mismatch, Protocol, Request};
use crate::strings::{StringHeader, text};

/// Reads the request's text and headers.
pub(super) async fn read(look: &Look<'_>, place: &Place) -> Result<Request, No> {
    let (reads, parts, http) = (look.shared.reads, &place.parts, &look.shared.runtime.layout.http);
    let map = Range { addr: parts.header, len: HEAD_BYTES };
    let protocol = if parts.version.0 == 1 { Protocol::Http1 } else { Protocol::Http2 };
    let mut request = Request {
        identity: parts.identity(0),
        protocol,
        method: None,
        path: None,
        route: None,
        trace: None,
        request_id: None,
    };
    let map = if look.shared.options.data {
        let (texts, map) = head(look, [parts.method, parts.proto, parts.uri], map).await;
        let [method, proto, uri] = texts.ok_or(UNMAPPED)?;
        let said = format!("HTTP/{}.{}", parts.version.0, parts.version.1);
        if !method.iter().all(|byte| is_token(*byte)) || proto != said.as_bytes() {
            return Err(No::Unknown(Mismatch::NoText));
        }
        request.method = Some(String::from_utf8_lossy(&method).into_owned());
        request.path = Some(path(&uri, parts.uri.len, look.shared.options.keep_query));
        let pattern = match http.pattern_str {
            Some(at) if place.pattern.text.len == 0 && place.pattern.parsed != 0 => {
                let header = reads.bytes(place.pattern.parsed.wrapping_add(at.into()), 16).await;
                header.and_then(|header| StringHeader::at(&header, 0)).unwrap_or_default()
            }
            _ => place.pattern.text,
        };
        if pattern.len != 0 && is_data(pattern.data) {
            let copy = look.constant(pattern.range(MAX_TEXT)).await;
            request.route = copy.map(|copy| text(&copy, pattern.len));
        }
        map
    } else {
        reads.bytes(map.addr, map.len).await
    };
    let map = map.ok_or(UNMAPPED)?;
    let head = look.shared.runtime.maps.and_then(|maps| maps.head(&map));
    if look.shared.options.data
        && let (Some(maps), Some(head)) = (look.shared.runtime.maps, head)
    {
        let Headers { trace, request_id, is_grpc } = headers::read(look, &maps, &head, protocol).await?;
        (request.trace, request.request_id) = (trace, request_id);
        if is_grpc {
            request.protocol = Protocol::Grpc;
        }
    }
    request.identity = parts.identity(head.map_or(0, |head| head.seed));
    Ok(request)
}

/// Three texts, and a copy of `map`. Of HTTP/1 the texts are parts of one line, which is read in one piece.
async fn head(look: &Look<'_>, texts: [StringHeader; 3], map: Range) -> (Option<[Vec<u8>; 3]>, Option<Vec<u8>>) {
    let ranges = texts.map(|text| text.range(MAX_TEXT));
    let start = ranges.iter().map(|range| range.addr).min().unwrap_or(0);
    let end = ranges.iter().map(|range| range.addr.saturating_add(range.len as u64)).max().unwrap_or(0);
    let len = end.saturating_sub(start);
    // Nothing is read but what is asked for, and the two spaces in between.
    if len > ranges.iter().map(|range| range.len as u64).sum::<u64>() + 2 {
        let [a, b, c] = ranges;
        let [a, b, c, map] = look.shared.reads.get([a, b, c, map]).await;
        return (a.zip(b).zip(c).map(|((a, b), c)| [a, b, c]), map);
    }
    let [line, map] = look.shared.reads.get([Range { addr: start, len: len as usize }, map]).await;
    let part = |line: &[u8], range: &Range| {
        let at = (range.addr - start) as usize;
        line.get(at..at + range.len).unwrap_or(&[]).to_vec()
    };
    (line.map(|line| ranges.map(|range| part(&line, &range))), map)
}

const UNMAPPED: No = No::Unknown(Mismatch::Unmapped);

/// The path of a request target (RFC 9112, section 3.2): of a URL with scheme and host only its path, as the rest may
/// hold a password; of `host:port` (CONNECT) and `*` all.
fn path(uri: &[u8], whole_len: u64, keep_query: bool) -> String {
    let cut = uri.iter().position(|byte| matches!(byte, b'?' | b'#')).filter(|_| !keep_query);
    let (kept, whole_len) = match cut {
        Some(end) => (uri.get(..end).unwrap_or(uri), end as u64),
        None => (uri, whole_len),
    };
    if kept.first() == Some(&b'/') {
        return text(kept, whole_len);
    }
    let after_scheme = kept.windows(3).position(|three| three == b"://").and_then(|at| kept.get(at + 3..));
    match after_scheme {
        Some(rest) => match rest.iter().position(|byte| *byte == b'/').and_then(|at| rest.get(at..)) {
            Some(path) => text(path, path.len() as u64),
            None => "/".to_owned(),
        },
        None => text(kept, whole_len),
    }
}

/// Whether a byte may be in a method (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_path_is_kept() {
        let path = |uri: &str, keep| path(uri.as_bytes(), uri.len() as u64, keep);
        assert_eq!(path("/orders/17?token=secret", false), "/orders/17");
        assert_eq!(path("/orders/17?token=secret", true), "/orders/17?token=secret");
        assert_eq!(path("http://user:password@host/a/b?c", false), "/a/b");
        assert_eq!(path("http://user:password@host", false), "/");
        assert_eq!(path("host:443", false), "host:443");
        assert_eq!(path("*", false), "*");
        assert_eq!(path("/a\r\nb", false), "/a\u{fffd}\u{fffd}b");
        assert_eq!(super::path(b"/abc", 700, false), "/abc…");
        assert_eq!(super::path(b"/abc?d", 700, false), "/abc");
    }

    #[test]
    fn methods_are_tokens() {
        assert!(b"GET".iter().chain(b"M-SEARCH").all(|byte| is_token(*byte)));
        assert!(!is_token(b' ') && !is_token(0) && !is_token(b'/') && !is_token(0xc3));
    }
}
