//! What a `net/http.Request` looks like in memory.

use std::hash::Hasher;

use fgspy_gobin::layout::{HttpLayout, RequestFields};
use fgspy_memory::Range;
use rustc_hash::FxHasher;

use crate::bytes::u64_at;
use crate::request::Identity;
use crate::request::look::{Look, is_data, is_pointer};
use crate::strings::StringHeader;

/// Candidates for a request that are looked at in one frame.
const MAX_CANDIDATES: usize = 48;
/// The longest method that is believed: Go allows any token, the longest registered one has 17 letters.
const MAX_METHOD: u64 = 20;
/// The longest request target that is believed: Go's server reads no more than 1 MiB of headers unless told to.
const MAX_URI: u64 = 16 << 20;

/// A request: what of it does not change while it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) method: StringHeader,
    url: u64,
    pub(super) proto: StringHeader,
    /// Major and minor.
    pub(super) version: (u64, u64),
    pub(super) header: u64,
    pub(super) uri: StringHeader,
}

impl Parts {
    /// Whether these are of the same request: of a copy, or as HTTP/2 and `net/http` each keep it.
    pub(super) fn same_as(&self, other: &Parts) -> bool {
        (self.method, self.header, self.uri) == (other.method, other.header, other.uri)
    }

    /// What tells this request from others, with the seed of its map of headers.
    pub(super) fn identity(&self, seed: u64) -> Identity {
        let mut hasher = FxHasher::default();
        for word in [self.header, seed, self.uri.data, self.uri.len, self.method.data] {
            hasher.write_u64(word);
        }
        Identity(hasher.finish())
    }
}

/// The pattern that matched: its text, and where it is parsed, or 0.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pattern {
    pub(super) text: StringHeader,
    pub(super) parsed: u64,
}

/// A request in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) address: u64,
    pub(super) parts: Parts,
    /// Its context.
    pub(super) ctx: u64,
    /// It is HTTP/2's own, which becomes another one's as soon as its handler has returned
    /// (`net/http/internal/http2`, `responseWriterStatePool`).
    pub(super) is_pooled: bool,
    pub(super) pattern: Pattern,
    /// The response to it, by the connection that says so; or 0.
    pub(super) response: u64,
}

impl Place {
    /// Addresses of what was made for this request and for no other: itself, its response, and its context, which is a fresh
    /// one (`net/http/server.go`, `(*conn).readRequest`; `h2_bundle.go`, `newStream`). None where a request of HTTP/1 is not
    /// what its connection says.
    pub(super) fn marks(&self) -> Vec<u64> {
        let is_first_hand = self.parts.version.0 != 1 || self.response != 0;
        let own = [if self.is_pooled { 0 } else { self.address }, self.ctx, self.response];
        own.into_iter().filter(|mark| is_first_hand && is_pointer(*mark)).collect()
    }
}

/// The words that have the shape of a request's address: a `net/http.Request`'s, or that of what HTTP/2 has made one of.
pub(super) async fn candidates(look: &Look<'_>, words: &[u64]) -> Vec<Place> {
    let bounds = look.g.bounds;
    let mut addresses: Vec<u64> = Vec::new();
    for &word in words.iter().filter(|word| is_pointer(**word) && !bounds.holds(**word, 1)) {
        if addresses.len() < MAX_CANDIDATES && !addresses.contains(&word) {
            addresses.push(word);
        }
    }
    let ranges: Vec<Range> = addresses.iter().map(|&address| look.request_range(address)).collect();
    let copies = look.shared.reads.get_all(&ranges).await;
    addresses.iter().zip(copies).filter_map(|(&address, copy)| look.place(address, &copy?)).collect()
}

impl Look<'_> {
    /// Where the fields of a request at `addr` are.
    pub(super) fn request_range(&self, addr: u64) -> Range {
        let layout = &self.shared.runtime.layout;
        let len = layout.http2.map_or(0, |fields| fields.bytes()).max(layout.http.request_bytes());
        Range { addr, len: len as usize }
    }

    /// The request in a copy of it, if it has the shape of one.
    pub(super) fn place(&self, address: u64, copy: &[u8]) -> Option<Place> {
        let layout = &self.shared.runtime.layout;
        if let Some((parts, ctx)) = parts(&layout.http.request(), copy) {
            let string = |at: u32| StringHeader::at(copy, at as usize);
            let text = layout.http.pattern.and_then(string).unwrap_or_default();
            let parsed = layout.http.pat.and_then(|at| u64_at(copy, at as usize)).filter(|pat| is_pointer(*pat));
            return Some(Place {
                address,
                parts,
                ctx,
                is_pooled: false,
                pattern: Pattern { text, parsed: parsed.unwrap_or(0) },
                response: 0,
            });
        }
        let (parts, ctx) = parts(&layout.http2?, copy)?;
        Some(Place { address, parts, ctx, is_pooled: true, pattern: Pattern::default(), response: 0 })
    }
}

/// The two words of the interface that is the context of the request in a copy, if it has the shape of one.
pub(in crate::request) fn context_of(http: &HttpLayout, copy: &[u8]) -> Option<(u64, u64)> {
    let (_, data) = parts(&http.request(), copy)?;
    Some((u64_at(copy, http.ctx as usize)?, data))
}

/// A request's parts and its context.
fn parts(fields: &RequestFields, copy: &[u8]) -> Option<(Parts, u64)> {
    let word = |offset: u32| u64_at(copy, offset as usize);
    let string = |offset: u32| StringHeader::at(copy, offset as usize);
    let parts = Parts {
        method: string(fields.method)?,
        url: word(fields.url)?,
        proto: string(fields.proto)?,
        version: (word(fields.proto_major)?, word(fields.proto_minor)?),
        header: word(fields.header)?,
        uri: string(fields.request_uri)?,
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
    let ctx = word(fields.ctx.checked_add(8)?)?;
    is_request.then_some((parts, ctx))
}
