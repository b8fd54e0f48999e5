//! Calls of gRPC, from the stream that serves one.
//!
//! The stream's type has changed from version to version of `google.golang.org/grpc` (`internal/transport`), and which of
//! an optimised function's arguments are still in its frame changes with the compiler. Two things do not change, and are
//! looked for: a stream has a string with the full method, `/package.Service/Method`, and a context, from which a chain of
//! contexts leads to the metadata of the call (key `metadata.mdIncomingKey`) and on to a context that is cancelled before
//! the call is over: that distinguishes this call from what an earlier one left in the stack.

use std::hash::Hasher;
use std::sync::Arc;

use fgspy_memory::Range;
use rustc_hash::FxHasher;

use super::headers;
use super::look::{Found, Look, No, Proof, Since, Slots, is_data, is_pointer};
use super::types;
use super::{Identity, MAX_TEXT, Mismatch, Protocol, Request};
use crate::bytes::{u64_at, words};
use crate::maps::{HEAD_BYTES, Head};
use crate::strings::{StringHeader, text};

/// Candidates for a stream that are looked at.
const MAX_CANDIDATES: usize = 32;
/// Bytes of a stream in which its method and its context are looked for: at 0 and 16 in 1.85, further down in old ones.
const STREAM_BYTES: usize = 208;
/// Interfaces of a stream that may be its context: it is the first of them, or the second.
const MAX_INTERFACES: usize = 3;
/// The longest full method that is believed.
const MAX_METHOD: u64 = 256;
/// Contexts that are followed from a stream's to the one that ends with it.
const MAX_CONTEXTS: usize = 24;
/// Bytes read of a context: enough for all kinds that are of interest.
const CONTEXT_BYTES: usize = 64;
/// The key of the metadata in a context (`metadata/metadata.go`).
const METADATA_KEY: &str = "metadata.mdIncomingKey";

/// A stream in memory.
struct Stream {
    address: u64,
    method: StringHeader,
    name: Vec<u8>,
    /// Words that may be the address of its context.
    contexts: Vec<u64>,
}

/// Finds the call that the words of `handleStream`'s frame lead to.
///
/// Where in the frame the stream is, is the same for all goroutines of a program, and is learned from a goroutine that does
/// not run and has only one stream in its frame.
pub(super) async fn find(look: &Look<'_>, slots: &Slots) -> Result<Found, No> {
    let words = slots.stream.as_deref().unwrap_or(&[]);
    let known = look.shared.stream_places.borrow().clone();
    if let Some((first, others)) = known.split_first() {
        let address = words.get(*first).copied().ok_or(No::Unknown(Mismatch::NoFrame))?;
        // A goroutine that has just begun has not put its own in all places.
        if !slots.certain && others.iter().any(|at| words.get(*at) != Some(&address)) {
            return Err(No::Torn);
        }
        let streams = calls(look, &[address]).await;
        let (stream, call) = streams.first().ok_or(No::Unknown(Mismatch::NoPointer))?;
        return read(look, slots, stream, call).await;
    }
    if !slots.certain {
        return Err(No::Torn);
    }
    let streams = calls(look, words).await;
    let mut live = streams.iter().filter(|(_, call)| !call.has_ended);
    let (stream, call) = live.next().ok_or(No::Torn)?;
    if live.any(|(other, _)| other.address != stream.address) {
        return Err(No::Unknown(Mismatch::Disagreement));
    }
    let places = words.iter().enumerate().filter(|(_, word)| **word == stream.address).map(|(at, _)| at);
    *look.shared.stream_places.borrow_mut() = places.collect();
    read(look, slots, stream, call).await
}

/// The streams among `candidates` that have a call.
async fn calls(look: &Look<'_>, candidates: &[u64]) -> Vec<(Stream, Call)> {
    let mut found = Vec::new();
    for stream in streams(look, candidates).await {
        for &context in &stream.contexts {
            if let Some(call) = call(look, context).await {
                found.push((stream, call));
                break;
            }
        }
    }
    found
}

/// The words that are addresses of what has a full method among its first fields.
async fn streams(look: &Look<'_>, from: &[u64]) -> Vec<Stream> {
    let reads = look.shared.reads;
    let bounds = look.g.bounds;
    let mut addresses: Vec<u64> = Vec::new();
    for &word in from.iter().filter(|word| is_pointer(**word) && !bounds.holds(**word, 1)) {
        if addresses.len() < MAX_CANDIDATES && !addresses.contains(&word) {
            addresses.push(word);
        }
    }
    let ranges: Vec<Range> = addresses.iter().map(|&addr| Range { addr, len: STREAM_BYTES }).collect();
    let mut streams = Vec::new();
    for (&address, copy) in addresses.iter().zip(reads.get_all(&ranges).await) {
        let Some(copy) = copy else { continue };
        let fields = (0..STREAM_BYTES / 8).filter_map(|i| StringHeader::at(&copy, 8 * i));
        let methods = fields.filter(|field| (4..=MAX_METHOD).contains(&field.len) && is_data(field.data));
        let fields_in_pairs = words(&copy).zip(words(&copy).skip(1));
        let contexts = fields_in_pairs.filter(|&(table, data)| {
            // An interface: its table of methods is in the program, its data is not.
            look.is_static(table) && is_pointer(data) && !look.is_static(data) && data != address
        });
        let contexts: Vec<u64> = contexts.map(|(_, data)| data).take(MAX_INTERFACES).collect();
        streams.extend(methods.map(|method| Stream { address, method, name: Vec::new(), contexts: contexts.clone() }));
    }
    let ranges: Vec<Range> = streams.iter().map(|stream| stream.method.range(MAX_TEXT)).collect();
    for (stream, copy) in streams.iter_mut().zip(reads.get_all(&ranges).await) {
        stream.name = copy.unwrap_or_default();
    }
    streams.retain(|stream| is_full_method(&stream.name));
    streams
}

/// `/package.Service/Method`.
fn is_full_method(name: &[u8]) -> bool {
    let slashes = name.iter().filter(|byte| **byte == b'/').count();
    name.first() == Some(&b'/') && slashes == 2 && name.last() != Some(&b'/') && name.iter().all(u8::is_ascii_graphic)
}

/// What a context says of a call.
struct Call {
    /// The map of its metadata.
    metadata: u64,
    has_ended: bool,
    /// The contexts that were made for it.
    contexts: Vec<u64>,
}

/// Follows the chain of contexts from `context` to the metadata, and on to the one that is cancelled at the end.
async fn call(look: &Look<'_>, context: u64) -> Option<Call> {
    let (reads, layout) = (look.shared.reads, &look.shared.runtime.layout.context);
    let mut metadata = None;
    let mut contexts = Vec::new();
    let mut at = context;
    for _ in 0..MAX_CONTEXTS {
        let copy = reads.bytes(at, CONTEXT_BYTES).await?;
        contexts.push(at);
        let word = |offset: u32| u64_at(&copy, offset as usize);
        let key = word(layout.value_key)?;
        if look.shared.types.borrow().has(key) {
            // A pair of a key and a value.
            if metadata.is_none() && types::name(reads, look.shared.types, key).await.as_deref() == Some(METADATA_KEY) {
                metadata = word(layout.value_val.checked_add(8)?).filter(|map| is_pointer(*map));
            }
        } else if let Some(metadata) = metadata {
            return Some(Call { metadata, has_ended: word(layout.cancel_err)? != 0, contexts });
        }
        // Each begins with the context that it is derived from.
        at = u64_at(&copy, 8).filter(|parent| is_pointer(*parent))?;
    }
    None
}

/// Reads the call's metadata.
async fn read(look: &Look<'_>, slots: &Slots, stream: &Stream, call: &Call) -> Result<Found, No> {
    let reads = look.shared.reads;
    let map = Range { addr: call.metadata, len: HEAD_BYTES };
    let [map, g] = reads.get([map, look.g_range()]).await;
    let maps = look.shared.runtime.maps;
    let head: Option<Head> = map.and_then(|map| maps?.head(&map));
    let mut hasher = FxHasher::default();
    for word in [stream.address, stream.method.data, call.metadata, head.map_or(0, |head| head.seed)] {
        hasher.write_u64(word);
    }
    let identity = Identity(hasher.finish());
    if let Some(last) = look.last.clone().filter(|last| last.identity == identity) {
        return Ok(Found { request: last, proof: Proof::Then, marks: call.marks(stream), response: 0 });
    }
    // A call that is over by now was not, if the goroutine has gone on since. (Else its client has gone away, or it is
    // what an earlier call left there.)
    let ended_since = slots.certain && look.since(g.as_deref()) != Since::Same;
    if call.has_ended && !ended_since {
        return Err(No::Torn);
    }
    // One of a pool may have served others before, and taken this one only now.
    let proof = if !slots.certain && slots.reused { Proof::Now } else { Proof::Then };
    let mut request = Request {
        identity,
        protocol: Protocol::Grpc,
        method: None,
        path: None,
        route: None,
        trace: None,
        request_id: None,
    };
    if look.shared.options.data {
        request.method = Some("POST".to_owned());
        request.path = Some(text(&stream.name, stream.method.len));
        if let (Some(maps), Some(head)) = (maps, head) {
            let headers = headers::read(look, &maps, &head, Protocol::Grpc).await?;
            (request.trace, request.request_id) = (headers.trace, headers.request_id);
        }
    }
    Ok(Found { request: Arc::new(request), proof, marks: call.marks(stream), response: 0 })
}

impl Call {
    /// Addresses of what was made for this call and for no other.
    fn marks(&self, stream: &Stream) -> Vec<u64> {
        self.contexts.iter().copied().chain([stream.address]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_methods_have_two_parts() {
        assert!(is_full_method(b"/shop.Orders/Get"));
        assert!(is_full_method(b"/O/G"));
        for wrong in ["", "/", "//", "/Orders", "/a/b/c", "shop/Get", "/shop.Orders/", "/shop Orders/Get", "/a/\x01b"] {
            assert!(!is_full_method(wrong.as_bytes()), "{wrong}");
        }
    }
}
