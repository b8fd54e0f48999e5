//! Requests of `net/http`.

mod parts;
mod read;

use std::sync::Arc;

use fgspy_memory::Range;

use self::parts::{Place, candidates};
use super::look::{Found, Look, No, Since, Slots, is_pointer};
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
    let (place, certain) = match (slots.connection, handler) {
        (Some(connection), Some(frame)) => by_both(look, connection, frame).await?,
        (Some(connection), None) => by_connection(look, connection).await?,
        (None, _) => {
            let frame = slots.handler.as_ref().or(slots.run_handler.as_ref()).ok_or(No::Nothing)?;
            (by_frame(look, frame, slots.certain).await?, true)
        }
    };
    let request = match known(look, &place).await {
        Some(request) => request,
        None => Arc::new(read::read(look, &matched(look, place, &slots.mux).await).await?),
    };
    Ok(Found { request, certain })
}

/// The request at `place`, if it is the one that the goroutine was last seen to serve and nothing of it is missing.
async fn known(look: &Look<'_>, place: &Place) -> Option<Arc<Request>> {
    let last = look.last.as_ref()?;
    let head = look.shared.reads.bytes(place.parts.header, HEAD_BYTES).await?;
    let seed = look.shared.runtime.maps.and_then(|maps| maps.head(&head)).map_or(0, |head| head.seed);
    (look.is_complete(last) && place.parts.identity(seed) == last.identity).then(|| Arc::clone(last))
}

/// What a connection says.
#[derive(Clone, Copy, Debug)]
struct Connection {
    /// Its current response, and the request of that.
    current: Result<(u64, u64), Mismatch>,
    is_idle: bool,
    /// What has become of the goroutine since.
    since: Since,
}

impl Connection {
    fn wrong(&self, why: Mismatch) -> No {
        if self.since == Since::Same { No::Unknown(why) } else { No::Torn }
    }
}

/// Asks a connection for its current request.
async fn ask(look: &Look<'_>, address: u64) -> Connection {
    let (reads, http) = (look.shared.reads, &look.shared.runtime.layout.http);
    let wrong = |why, since| Connection { current: Err(why), is_idle: false, since };
    if !is_pointer(address) {
        return wrong(Mismatch::NoPointer, Since::Same);
    }
    let range = Range { addr: address, len: http.conn_bytes() as usize };
    let [conn, g] = reads.get([range, look.g_range()]).await;
    let since = look.since(g.as_deref());
    let Some(conn) = conn else { return wrong(Mismatch::Unmapped, since) };
    let word = |offset: u32| u64_at(&conn, offset as usize).unwrap_or(0);
    let (response, state) = (word(http.conn_cur_req), word(http.conn_cur_state) & 0xff);
    let is_conn = is_pointer(word(http.conn_server))
        && (word(http.conn_r) == 0 || is_pointer(word(http.conn_r)))
        && (response == 0 || is_pointer(response))
        && state <= STATE_CLOSED;
    if !is_conn {
        return wrong(Mismatch::NoPointer, since);
    }
    if response == 0 || matches!(state, STATE_IDLE | STATE_CLOSED) {
        return Connection { current: Err(Mismatch::Disagreement), is_idle: true, since };
    }
    let Some(copy) = reads.bytes(response, http.response_bytes() as usize).await else {
        return wrong(Mismatch::Unmapped, since);
    };
    let word = |offset: u32| u64_at(&copy, offset as usize).unwrap_or(0);
    if word(http.response_conn) != address || !is_pointer(word(http.response_req)) {
        return wrong(Mismatch::Disagreement, since);
    }
    Connection { current: Ok((response, word(http.response_req))), is_idle: false, since }
}

/// HTTP/1, while the handler runs: its frame has the request, and the connection says the same.
async fn by_both(look: &Look<'_>, connection: u64, frame: &[u64]) -> Result<(Place, bool), No> {
    let connection = ask(look, connection).await;
    if let Ok((_, request)) = connection.current {
        let copy = look.shared.reads.bytes(request, look.request_range(request).len).await;
        let place = copy.and_then(|copy| look.place(request, &copy));
        if let Some(place) = place {
            if let Some(at) = frame.iter().position(|word| *word == request) {
                look.shared.hint.set(Some(at));
                return Ok((place, true));
            }
            // The handler may have been called with a copy (Go up to 1.22 makes one if there is a semicolon in the query).
            if candidates(look, frame).await.iter().any(|copy| copy.parts == place.parts) {
                return Ok((place, true));
            }
        }
    }
    // The goroutine has not run, and yet they disagree: something is not understood.
    if connection.since == Since::Same {
        return Err(No::Unknown(connection.current.err().unwrap_or(Mismatch::Disagreement)));
    }
    // It went on meanwhile. What its frame had before is still in memory.
    let hinted = look.shared.hint.get().and_then(|at| frame.get(at).copied());
    let place = match hinted {
        Some(word) => candidates(look, &[word]).await.first().copied(),
        None => None,
    };
    place.map(|place| (place, true)).ok_or(No::Torn)
}

/// HTTP/1, of a goroutine whose stack was not walked, or that is not in a handler.
async fn by_connection(look: &Look<'_>, address: u64) -> Result<(Place, bool), No> {
    let connection = ask(look, address).await;
    if connection.since == Since::Gone {
        return Err(No::Torn);
    }
    let (response, request) = match connection.current {
        Ok(current) => current,
        Err(_) if connection.is_idle => return Err(No::Idle(Idle::Connection)),
        Err(why) => return Err(connection.wrong(why)),
    };
    let copy = look.shared.reads.bytes(request, look.request_range(request).len).await;
    let copy = copy.ok_or(connection.wrong(Mismatch::Unmapped))?;
    let place = look.place(request, &copy).ok_or(connection.wrong(Mismatch::NoText))?;
    // If it was not the same before, the goroutine may have begun with it after it was first looked at.
    Ok((place, connection.since == Since::Same || look.before == Some(response)))
}

/// From a frame that has the request. HTTP/2: a goroutine serves one request and ends.
async fn by_frame(look: &Look<'_>, frame: &[u64], is_certain: bool) -> Result<Place, No> {
    let (reads, runtime) = (look.shared.reads, look.shared.runtime);
    let hinted = look.shared.hint.get().and_then(|at| frame.get(at).copied());
    let mut places = candidates(look, hinted.as_slice()).await;
    if places.is_empty() {
        places = candidates(look, frame).await;
    }
    let place = *places.first().ok_or(No::Unknown(Mismatch::NoPointer))?;
    if places.iter().any(|other| other.parts != place.parts) {
        return Err(No::Unknown(Mismatch::Disagreement));
    }
    let err = runtime.layout.context.cancel_err;
    let ctx = Range { addr: place.address.wrapping_add(runtime.layout.http.ctx.into()), len: 16 };
    let [ctx, g] = reads.get([ctx, look.g_range()]).await;
    if look.since(g.as_deref()) == Since::Gone && !is_certain {
        return Err(No::Torn);
    }
    // The context of a request is cancelled before its goroutine ends: what an earlier goroutine left in this place of
    // the stack, while this one has not got there yet, is told from it by that.
    if !is_certain {
        let ctx = ctx.and_then(|ctx| u64_at(&ctx, 8)).filter(|ctx| is_pointer(*ctx));
        let ctx = ctx.ok_or(No::Unknown(Mismatch::NoPointer))?;
        match reads.bytes(ctx.wrapping_add(err.into()), 8).await.and_then(|err| u64_at(&err, 0)) {
            Some(0) => {}
            Some(_) => return Err(No::Torn),
            None => return Err(No::Unknown(Mismatch::Unmapped)),
        }
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
    let copies = candidates(look, mux).await;
    let same = |copy: &&Place| copy.parts.header == place.parts.header && copy.pattern.parsed != 0;
    let pattern = copies.iter().find(same).map_or(place.pattern, |copy| copy.pattern);
    Place { pattern, ..place }
}
