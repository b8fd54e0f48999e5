//! Requests of `net/http`.

mod live;
mod parts;
mod read;

use std::sync::Arc;

use fgspy_memory::Range;

pub(super) use self::parts::context_of;
use self::parts::{Place, candidates};
use super::look::{Found, Look, No, Proof, Since, Slots, is_pointer};
use super::{Idle, Mismatch, Request};
use crate::bytes::u64_at;
use crate::maps::HEAD_BYTES;

/// Values of `ConnState` (`net/http/server.go`).
const STATE_IDLE: u64 = 2;
const STATE_CLOSED: u64 = 4;

/// Finds the request that frames of `net/http` lead to.
pub(super) async fn find(look: &Look<'_>, slots: &Slots) -> Result<Found, No> {
    // What a frame says of a handler may be of a call that has returned.
    let handler = slots.handler.as_deref().filter(|_| slots.certain);
    let (place, proof) = match (slots.connection, handler) {
        (Some(connection), Some(frame)) => by_both(look, connection, frame).await?,
        (Some(connection), None) => by_connection(look, connection).await?,
        (None, _) => {
            let frames = slots.run_handler.as_ref().or(slots.handler.as_ref()).ok_or(No::Nothing)?;
            (by_frames(look, frames, slots).await?, Proof::Then)
        }
    };
    let request = match known(look, &place).await {
        Some(request) => request,
        None => Arc::new(read::read(look, &matched(look, place, &slots.mux).await).await?),
    };
    Ok(Found { request, proof, marks: place.marks(), response: place.response })
}

/// The request that the frames of a sampled goroutine lead to. It ran, and may serve another one by now: only what the frames
/// themselves point to counts, not what the connection says.
pub(super) async fn sampled(look: &Look<'_>, slots: &Slots) -> Result<Option<Arc<Request>>, No> {
    let place = match slots.connection {
        Some(connection) => of_response(look, connection, &slots.serve).await,
        None => {
            let frames = slots.run_handler.as_ref().or(slots.handler.as_ref()).ok_or(No::Nothing)?;
            if look.shared.runtime.layout.http2.is_some() {
                live::find(look, &slots.live).await
            } else {
                by_hint(look, frames).await
            }
        }
    };
    let Some(place) = place else { return Ok(None) };
    if let Some(request) = known(look, &place).await {
        return Ok(Some(request));
    }
    read::read(look, &matched(look, place, &slots.mux).await).await.map(|request| Some(Arc::new(request)))
}

/// The request of HTTP/2 that is where those of goroutines that do not run were found. Nothing is learned from samples.
///
/// From Go 1.27 on the frames have what HTTP/2 gives to the next request at once, and words of earlier ones beside it: there only
/// live words count ([`live`]).
async fn by_hint(look: &Look<'_>, frames: &[u64]) -> Option<Place> {
    let hinted = look.shared.run_hint.get().and_then(|at| frames.get(at).copied())?;
    candidates(look, &[hinted]).await.first().copied()
}

/// The request of the one response of `connection` that the frame of `(*conn).serve` has. That keeps it for what it does after
/// the handler (`net/http/server.go`, `w.finishRequest()`). Where it has another one's too, perhaps left there by an earlier
/// request, it is not known which.
async fn of_response(look: &Look<'_>, connection: u64, frame: &[u64]) -> Option<Place> {
    let http = &look.shared.runtime.layout.http;
    let mut addresses: Vec<u64> = frame.iter().copied().filter(|word| is_pointer(*word)).take(MAX_RESPONSES).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let len = http.response_bytes() as usize;
    let ranges: Vec<Range> = addresses.iter().map(|&addr| Range { addr, len }).collect();
    let copies = look.shared.reads.get_all(&ranges).await;
    let of_this = copies.iter().flatten().filter_map(|copy| {
        let word = |offset: u32| u64_at(copy, offset as usize).unwrap_or(0);
        (word(http.response_conn) == connection).then(|| word(http.response_req))
    });
    let mut requests: Vec<u64> = of_this.filter(|request| is_pointer(*request)).collect();
    requests.dedup();
    match requests[..] {
        [request] => request_at(look, request).await,
        _ => None,
    }
}

/// Words of a frame that may be responses.
const MAX_RESPONSES: usize = 64;

/// The request at `place`, if it is the one that the goroutine was last seen to serve and nothing of it is missing.
async fn known(look: &Look<'_>, place: &Place) -> Option<Arc<Request>> {
    let last = look.last.as_ref()?;
    let head = look.shared.reads.bytes(place.parts.header, HEAD_BYTES).await?;
    let seed = look.shared.runtime.maps.and_then(|maps| maps.head(&head)).map_or(0, |head| head.seed);
    (look.is_complete(last) && place.parts.identity(seed) == last.identity).then(|| Arc::clone(last))
}

/// What a connection says.
enum Connection {
    /// It has no request.
    Idle,
    /// The address of its current response, and that of its request.
    At(u64, u64),
    /// It is none, for all that is known.
    Wrong(Mismatch),
}

/// Asks a connection for its current request, and reads along what may be that.
async fn ask(look: &Look<'_>, address: u64, guess: Option<u64>) -> (Connection, Option<Place>) {
    let (reads, http) = (look.shared.reads, &look.shared.runtime.layout.http);
    if !is_pointer(address) {
        return (Connection::Wrong(Mismatch::NoPointer), None);
    }
    let range = Range { addr: address, len: http.conn_bytes() as usize };
    let guess = guess.filter(|guess| is_pointer(*guess));
    let also = guess.map_or(Range { addr: 0, len: 0 }, |guess| look.request_range(guess));
    let [conn, copy] = reads.get([range, also]).await;
    let place = guess.zip(copy).and_then(|(guess, copy)| look.place(guess, &copy));
    let Some(conn) = conn else { return (Connection::Wrong(Mismatch::Unmapped), place) };
    let word = |offset: u32| u64_at(&conn, offset as usize).unwrap_or(0);
    let (response, state) = (word(http.conn_cur_req), word(http.conn_cur_state) & 0xff);
    let is_conn = is_pointer(word(http.conn_server))
        && (word(http.conn_r) == 0 || is_pointer(word(http.conn_r)))
        && (response == 0 || is_pointer(response))
        && state <= STATE_CLOSED;
    if !is_conn {
        return (Connection::Wrong(Mismatch::NoPointer), place);
    }
    if response == 0 || matches!(state, STATE_IDLE | STATE_CLOSED) {
        return (Connection::Idle, place);
    }
    let Some(copy) = reads.bytes(response, http.response_bytes() as usize).await else {
        return (Connection::Wrong(Mismatch::Unmapped), place);
    };
    let word = |offset: u32| u64_at(&copy, offset as usize).unwrap_or(0);
    let request = word(http.response_req);
    if word(http.response_conn) != address || !is_pointer(request) {
        return (Connection::Wrong(Mismatch::Disagreement), place);
    }
    (Connection::At(response, request), place)
}

/// The request at an address.
async fn request_at(look: &Look<'_>, address: u64) -> Option<Place> {
    let copy = look.shared.reads.bytes(address, look.request_range(address).len).await?;
    look.place(address, &copy)
}

/// HTTP/1, while the handler runs: the connection has the request, and so has the frame that called the handler, if the
/// handler itself has put it there (an argument that it got in a register, and needs later).
async fn by_both(look: &Look<'_>, address: u64, frame: &[u64]) -> Result<(Place, Proof), No> {
    let hint = look.shared.request_hint;
    let hinted = hint.get().and_then(|at| frame.get(at).copied());
    let (connection, guess) = ask(look, address, hinted).await;
    let (response, place) = match connection {
        Connection::At(response, request) if hinted == Some(request) => (Some(response), guess),
        Connection::At(response, request) => (Some(response), request_at(look, request).await),
        Connection::Idle | Connection::Wrong(_) => (None, None),
    };
    let place = place.map(|place| Place { response: response.unwrap_or(0), ..place });
    if let Some(place) = place
        && let Some(at) = frame.iter().position(|word| *word == place.address)
    {
        hint.set(Some(at));
        return Ok((place, Proof::Then));
    }
    let since = look.now().await;
    let in_frame = candidates(look, frame).await;
    match (place, connection) {
        // The handler may have been called with a copy (Go up to 1.22 makes one if there is a semicolon in the query).
        (Some(place), _) if in_frame.iter().any(|copy| copy.parts.same_as(&place.parts)) => {
            return Ok((place, Proof::Then));
        }
        // The frame does not have it, or still has one that this goroutine served before.
        (Some(place), _) if since == Since::Same || look.before == response => return Ok((place, Proof::Then)),
        // The goroutine has not run, and yet its connection has no request: something is not understood.
        (None, Connection::Wrong(why)) if since == Since::Same => return Err(No::Unknown(why)),
        (None, _) if since == Since::Same => return Err(No::Unknown(Mismatch::Disagreement)),
        _ => {}
    }
    // It went on meanwhile. What its frame had before is still in memory.
    let found = in_frame.into_iter().find(|place| Some(place.address) == hinted);
    match (found, place) {
        (Some(place), _) => Ok((place, Proof::Then)),
        (None, Some(place)) => Ok((place, Proof::Now)),
        (None, None) => Err(No::Torn),
    }
}

/// HTTP/1, of a goroutine whose stack was not walked, or that is not in a handler.
async fn by_connection(look: &Look<'_>, address: u64) -> Result<(Place, Proof), No> {
    let (connection, _) = ask(look, address, None).await;
    let (response, request) = match connection {
        Connection::Idle => return Err(No::Idle(Idle::Connection)),
        Connection::At(response, request) => (response, request),
        Connection::Wrong(why) => {
            return Err(if look.now().await == Since::Same { No::Unknown(why) } else { No::Torn });
        }
    };
    // Asked for after the connection was, so that what it says of that moment holds for the connection too.
    let [copy, g] = look.shared.reads.get([look.request_range(request), look.g_range()]).await;
    let since = look.since(g.as_deref());
    let place = copy.and_then(|copy| look.place(request, &copy)).map(|place| Place { response, ..place });
    match (place, since) {
        (_, Since::Gone) => Err(No::Torn),
        (Some(place), Since::Same) => Ok((place, Proof::Then)),
        (Some(place), Since::Alive) if look.before == Some(response) => Ok((place, Proof::Then)),
        (Some(place), Since::Alive) => Ok((place, Proof::Now)),
        (None, Since::Same) => Err(No::Unknown(Mismatch::NoText)),
        (None, Since::Alive) => Err(No::Torn),
    }
}

/// HTTP/2, from the frames of a goroutine that serves one request and ends: `runHandler` keeps it for what it has deferred.
async fn by_frames(look: &Look<'_>, frames: &[u64], slots: &Slots) -> Result<Place, No> {
    let (reads, hint, is_certain) = (look.shared.reads, look.shared.run_hint, slots.certain);
    let hinted = hint.get().and_then(|at| frames.get(at).copied());
    let mut places = candidates(look, hinted.as_slice()).await;
    // Other words may have been left there by whoever had the stack before.
    if places.is_empty() && !is_certain {
        return Err(No::Torn);
    }
    if places.is_empty() {
        places = candidates(look, frames).await;
    }
    let place = *places.first().ok_or(No::Unknown(Mismatch::NoPointer))?;
    if !is_pointer(place.ctx) {
        return Err(No::Unknown(Mismatch::NoPointer));
    }
    // The context of a request is cancelled before its goroutine ends. That distinguishes it from what an earlier goroutine
    // left in this place of the stack, where this one has not been yet.
    let err = Range { addr: place.ctx.wrapping_add(look.shared.runtime.layout.context.cancel_err.into()), len: 8 };
    let [err, g] = reads.get([err, look.g_range()]).await;
    let since = look.since(g.as_deref());
    let err = err.and_then(|err| u64_at(&err, 0)).ok_or(No::Unknown(Mismatch::Unmapped))?;
    let at = frames.iter().position(|word| *word == place.address);
    if err == 0 && is_certain {
        hint.set(at);
    }
    // One that is over by now was not, if the goroutine has gone on since. (Else its client has gone away.)
    let ended_since = is_certain && hint.get() == at && since != Since::Same;
    if (err != 0 && !ended_since) || (since == Since::Gone && !is_certain) {
        return Err(No::Torn);
    }
    // What HTTP/2 takes back after the handler must not have been taken back: the goroutine was in the handler, and has
    // not run since. Or else what it was called with says the same, which is not taken back.
    let in_handler = is_certain && slots.handler.is_some() && since == Since::Same;
    if place.is_pooled && !in_handler {
        let others = candidates(look, frames).await;
        let kept = others.into_iter().find(|other| !other.is_pooled && other.parts.same_as(&place.parts));
        return kept.ok_or(No::Torn);
    }
    Ok(place)
}

/// The request with its pattern, which a mux writes to what it was called with: a copy, if there is a handler before it
/// that has added to the context.
async fn matched(look: &Look<'_>, place: Place, mux: &[u64]) -> Place {
    if place.pattern.parsed != 0
        || mux.is_empty()
        || !look.shared.options.data
        || look.shared.runtime.layout.http.pat.is_none()
    {
        return place;
    }
    let hint = look.shared.mux_hint;
    let hinted = hint.get().and_then(|at| mux.get(at).copied());
    let is_it = |copy: &&Place| copy.parts.same_as(&place.parts) && copy.pattern.parsed != 0;
    let mut found = candidates(look, hinted.as_slice()).await.iter().find(is_it).copied();
    if found.is_none() {
        found = candidates(look, mux).await.iter().find(is_it).copied();
        let at = found.and_then(|found| mux.iter().position(|word| *word == found.address));
        hint.set(at.or(hint.get()));
    }
    Place { pattern: found.map_or(place.pattern, |found| found.pattern), ..place }
}
