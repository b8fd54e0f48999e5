//! Requests of `net/http`.

use std::hash::Hasher;
use std::sync::Arc;

use fgspy_memory::Range;
use rustc_hash::FxHasher;

use super::headers::{self, Headers};
use super::look::{Found, Look, No, Since, Slots, is_data, is_pointer};
use super::{Identity, Idle, MAX_TEXT, Mismatch, Protocol, Request};
use crate::bytes::u64_at;
use crate::maps::HEAD_BYTES;
use crate::strings::{StringHeader, text};

/// Candidates for a request that are looked at in one frame.
const MAX_CANDIDATES: usize = 48;
/// The longest method that is believed: Go allows any token, the longest registered one has 17 letters.
const MAX_METHOD: u64 = 20;
/// The longest request line that is believed: Go's server reads no more than 1 MiB of headers unless told to.
const MAX_URI: u64 = 16 << 20;

/// Values of `ConnState` (`net/http/server.go`).
const STATE_IDLE: u64 = 2;
const STATE_CLOSED: u64 = 4;

/// A `net/http.Request`: what of it does not change while it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts {
    method: StringHeader,
    url: u64,
    proto: StringHeader,
    version: (u64, u64),
    header: u64,
    uri: StringHeader,
}

/// What `pattern` and `pat` hold: set once a pattern has matched.
#[derive(Clone, Copy, Debug, Default)]
struct Pattern {
    text: StringHeader,
    parsed: u64,
}

/// A request in memory.
#[derive(Clone, Copy, Debug)]
struct Place {
    address: u64,
    parts: Parts,
    pattern: Pattern,
}

/// Finds the request that frames of `net/http` lead to.
pub(super) async fn find(look: &Look<'_>, slots: &Slots) -> Result<Found, No> {
    let (place, certain) = match (slots.connection, &slots.handler, &slots.run_handler) {
        (Some(connection), handler, _) => by_connection(look, connection, handler.as_deref(), slots.certain).await?,
        (None, Some(frame), _) | (None, None, Some(frame)) => by_frame(look, frame, slots.certain).await?,
        (None, None, None) => return Err(No::Nothing),
    };
    let place = matched(look, place, &slots.mux).await;
    let request = read(look, &place).await?;
    // What was followed since must still be there. It may no longer be served: its memory is not used for anything else
    // before a garbage collection has begun and ended, which would have changed it.
    let [again, g] = look.shared.reads.get([look.request_range(place.address), look.g_range()]).await;
    let steady = look.since(g.as_deref()) == Since::Same;
    if !steady && again.and_then(|copy| look.parts(&copy)) != Some(place.parts) {
        return Err(No::Torn);
    }
    Ok(Found { request: Arc::new(request), certain })
}

/// HTTP/1: from the connection to its current request, which the frame of the handler must have too.
async fn by_connection(
    look: &Look<'_>,
    connection: u64,
    handler: Option<&[u64]>,
    is_certain: bool,
) -> Result<(Place, bool), No> {
    let (reads, http) = (look.shared.reads, &look.shared.runtime.layout.http);
    if !is_pointer(connection) {
        return Err(No::Unknown(Mismatch::NoPointer));
    }
    // What a running goroutine's frame says of a handler may be of a call that has returned.
    let handler = handler.filter(|_| is_certain);
    let range = Range { addr: connection, len: http.conn_bytes() as usize };
    let [conn, g] = reads.get([range, look.g_range()]).await;
    let since = look.since(g.as_deref());
    let wrong = |why| if since == Since::Same { No::Unknown(why) } else { No::Torn };
    if since == Since::Gone {
        return Err(No::Torn);
    }
    let conn = conn.ok_or(wrong(Mismatch::Unmapped))?;
    let word = |offset: u32| u64_at(&conn, offset as usize).unwrap_or(0);
    let (response, state) = (word(http.conn_cur_req), word(http.conn_cur_state) & 0xff);
    let is_conn = is_pointer(word(http.conn_server))
        && (word(http.conn_r) == 0 || is_pointer(word(http.conn_r)))
        && (response == 0 || is_pointer(response))
        && state <= STATE_CLOSED;
    if !is_conn {
        return Err(wrong(Mismatch::NoPointer));
    }
    if response == 0 || matches!(state, STATE_IDLE | STATE_CLOSED) {
        return Err(if handler.is_some() { wrong(Mismatch::Disagreement) } else { No::Idle(Idle::Connection) });
    }
    let range = Range { addr: response, len: http.response_bytes() as usize };
    let response = reads.bytes(response, range.len).await.ok_or(wrong(Mismatch::Unmapped))?;
    let word = |offset: u32| u64_at(&response, offset as usize).unwrap_or(0);
    let request = word(http.response_req);
    if word(http.response_conn) != connection || !is_pointer(request) {
        return Err(wrong(Mismatch::Disagreement));
    }
    let copy = reads.bytes(request, look.request_range(request).len).await.ok_or(wrong(Mismatch::Unmapped))?;
    let place = look.place(request, &copy).ok_or(wrong(Mismatch::NoText))?;
    let agrees = match handler {
        Some(frame) if frame.contains(&request) => true,
        // The handler may have been called with a copy of the request (Go up to 1.22, for a semicolon in the query).
        Some(frame) => {
            let copies = candidates(look, frame.iter().copied()).await;
            if !copies.iter().any(|copy| copy.parts == place.parts) {
                return Err(wrong(Mismatch::Disagreement));
            }
            true
        }
        None => false,
    };
    Ok((place, agrees || since == Since::Same))
}

/// From a frame that has the request. HTTP/2: a goroutine serves one request and ends.
async fn by_frame(look: &Look<'_>, frame: &[u64], is_certain: bool) -> Result<(Place, bool), No> {
    let (reads, runtime) = (look.shared.reads, look.shared.runtime);
    let places = candidates(look, frame.iter().copied()).await;
    let place = *places.first().ok_or(No::Unknown(Mismatch::NoPointer))?;
    if places.iter().any(|other| other.parts != place.parts) {
        return Err(No::Unknown(Mismatch::Disagreement));
    }
    // The context of a request is cancelled before its goroutine ends: what an earlier goroutine left in this place of
    // the stack, while this one has not got there yet, is told from it by that.
    let err = runtime.layout.context.cancel_err;
    let ctx = Range { addr: place.address.wrapping_add(runtime.layout.http.ctx.into()), len: 16 };
    let [ctx, g] = reads.get([ctx, look.g_range()]).await;
    if look.since(g.as_deref()) == Since::Gone {
        return Err(No::Torn);
    }
    if !is_certain {
        let ctx = ctx.and_then(|ctx| u64_at(&ctx, 8)).filter(|ctx| is_pointer(*ctx));
        let ctx = ctx.ok_or(No::Unknown(Mismatch::NoPointer))?;
        match reads.bytes(ctx.wrapping_add(err.into()), 8).await.and_then(|err| u64_at(&err, 0)) {
            Some(0) => {}
            Some(_) => return Err(No::Torn),
            None => return Err(No::Unknown(Mismatch::Unmapped)),
        }
    }
    Ok((place, true))
}

/// The words that have the shape of a request's address.
async fn candidates(look: &Look<'_>, words: impl Iterator<Item = u64>) -> Vec<Place> {
    let bounds = look.g.bounds;
    let mut addresses: Vec<u64> = Vec::new();
    for word in words.filter(|word| is_pointer(*word) && !bounds.holds(*word, 1)) {
        if addresses.len() < MAX_CANDIDATES && !addresses.contains(&word) {
            addresses.push(word);
        }
    }
    let ranges: Vec<Range> = addresses.iter().map(|&address| look.request_range(address)).collect();
    let copies = look.shared.reads.get_all(&ranges).await;
    addresses.iter().zip(copies).filter_map(|(&address, copy)| look.place(address, &copy?)).collect()
}

/// The request with its pattern, which a mux writes to what it was called with: a copy, if there is a handler before it
/// that has added to the context.
async fn matched(look: &Look<'_>, place: Place, mux: &[u64]) -> Place {
    if place.pattern.parsed != 0 || mux.is_empty() || !look.shared.options.data {
        return place;
    }
    let copies = candidates(look, mux.iter().copied()).await;
    let same = |copy: &&Place| copy.parts.header == place.parts.header && copy.pattern.parsed != 0;
    let pattern = copies.iter().find(same).map_or(place.pattern, |copy| copy.pattern);
    Place { pattern, ..place }
}

/// Reads the request's text and headers.
async fn read(look: &Look<'_>, place: &Place) -> Result<Request, No> {
    let (reads, parts, http) = (look.shared.reads, &place.parts, &look.shared.runtime.layout.http);
    let map = Range { addr: parts.header, len: HEAD_BYTES };
    let protocol = if parts.version.0 == 1 { Protocol::Http1 } else { Protocol::Http2 };
    let mut request = Request {
        identity: Identity(0),
        protocol,
        method: None,
        path: None,
        route: None,
        trace: None,
        request_id: None,
    };
    let map = if look.shared.options.data {
        let ranges = [parts.method.range(MAX_TEXT), parts.proto.range(MAX_TEXT), parts.uri.range(MAX_TEXT), map];
        let [method, proto, uri, map] = reads.get(ranges).await;
        let (method, proto) = (method.ok_or(UNMAPPED)?, proto.ok_or(UNMAPPED)?);
        let uri = uri.ok_or(UNMAPPED)?;
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
            let [copy] = reads.get([pattern.range(MAX_TEXT)]).await;
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
        let Headers { trace, request_id, is_grpc } = headers::read(reads, &maps, &head, protocol).await?;
        (request.trace, request.request_id) = (trace, request_id);
        if is_grpc {
            request.protocol = Protocol::Grpc;
        }
    }
    let mut hasher = FxHasher::default();
    for word in [parts.header, head.map_or(0, |head| head.seed), parts.uri.data, parts.uri.len, parts.method.data] {
        hasher.write_u64(word);
    }
    request.identity = Identity(hasher.finish());
    Ok(request)
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

impl Look<'_> {
    fn request_range(&self, addr: u64) -> Range {
        Range { addr, len: self.shared.runtime.layout.http.request_bytes() as usize }
    }

    /// The request in a copy of it, if it has the shape of one.
    fn place(&self, address: u64, copy: &[u8]) -> Option<Place> {
        let http = &self.shared.runtime.layout.http;
        let parts = self.parts(copy)?;
        let text = http.pattern.and_then(|at| StringHeader::at(copy, at as usize)).unwrap_or_default();
        let parsed = http.pat.and_then(|at| u64_at(copy, at as usize)).filter(|pat| is_pointer(*pat)).unwrap_or(0);
        Some(Place { address, parts, pattern: Pattern { text, parsed } })
    }

    fn parts(&self, copy: &[u8]) -> Option<Parts> {
        let http = &self.shared.runtime.layout.http;
        let word = |offset: u32| u64_at(copy, offset as usize);
        let string = |offset: u32| StringHeader::at(copy, offset as usize);
        let parts = Parts {
            method: string(http.method)?,
            url: word(http.url)?,
            proto: string(http.proto)?,
            version: (word(http.proto_major)?, word(http.proto_minor)?),
            header: word(http.header)?,
            uri: string(http.request_uri)?,
        };
        let Parts { method, url, proto, version, header, uri } = parts;
        let is_request = (1..=MAX_METHOD).contains(&method.len)
            && is_data(method.data)
            && is_pointer(url)
            && proto.len == 8
            && is_data(proto.data)
            && matches!(version, (1, 0 | 1) | (2, 0))
            && is_pointer(header)
            && (1..=MAX_URI).contains(&uri.len)
            && is_data(uri.data);
        is_request.then_some(parts)
    }
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
