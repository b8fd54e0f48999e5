//! The request of HTTP/2 that the live words of a sampled stack lead to (Go 1.27 on).
//!
//! `runHandler` has the response and HTTP/2's own request to the end of the handler. The response is made anew for each
//! request; it leads to a state from a pool, which has the request, until the handler is done (`net/http/internal/http2`,
//! `responseWriter`, `handlerDone`). So as long as it does, the request is that of this goroutine.
//!
//! When the handler is done, there is still what `net/http` made of the request, which is nobody else's: who called the handler
//! has that, or whoever needs it still. A handler might have other requests too: if these are not all the same one, none counts.

use fgspy_memory::Range;

use super::parts::{Place, candidates};
use crate::bytes::u64_at;
use crate::request::anchors::Role;
use crate::request::children::Word;
use crate::request::look::{Look, is_pointer};

/// Words of `runHandler` that are looked at.
const MAX_OWN: usize = 16;
/// How far within the state of a response HTTP/2's request is at most: at 8 in Go 1.27.
const MAX_OFFSET: u64 = 64;

/// Finds the request.
pub(super) async fn find(look: &Look<'_>, live: &[Word]) -> Option<Place> {
    let of_runner = |word: &&Word| look.shared.anchors.role_of_entry(word.func) == Some(Role::RunHandler);
    let own: Vec<u64> = live.iter().filter(of_runner).map(|word| word.value).take(MAX_OWN).collect();
    let served = by_response(look, &own).await;
    let words: Vec<u64> = live.iter().map(|word| word.value).collect();
    let mut made = candidates(look, &words).await;
    made.retain(|place| !place.is_pooled && place.parts.version.0 == 2);
    let place = served.or(made.first().copied())?;
    made.iter().all(|other| other.parts.same_as(&place.parts)).then_some(place)
}

/// HTTP/2's own request, of which a response among `words` says that it is still served.
async fn by_response(look: &Look<'_>, words: &[u64]) -> Option<Place> {
    let words: Vec<u64> = words.iter().copied().filter(|word| is_pointer(*word)).collect();
    let state = words.iter().map(|&addr| Range { addr, len: 8 });
    let requests = words.iter().map(|&addr| look.request_range(addr));
    // The state is asked for before the requests are read, and after that.
    let ranges: Vec<Range> = state.clone().chain(requests).chain(state).collect();
    let copies = look.shared.reads.get_all(&ranges).await;
    let (before, rest) = copies.split_at_checked(words.len())?;
    let (requests, after) = rest.split_at_checked(words.len())?;
    let word = |copy: &Option<Vec<u8>>| copy.as_ref().and_then(|copy| u64_at(copy, 0));
    let states: Vec<u64> =
        before.iter().zip(after).filter(|(before, after)| before == after).filter_map(|(copy, _)| word(copy)).collect();
    let has = |state: &u64, request: u64| is_pointer(*state) && request.wrapping_sub(*state) <= MAX_OFFSET;
    words.iter().zip(requests).find_map(|(&address, copy)| {
        let place = look.place(address, copy.as_ref()?)?;
        (place.is_pooled && states.iter().any(|state| has(state, address))).then_some(place)
    })
}
