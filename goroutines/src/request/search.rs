//! The search for the request of one goroutine.

use fgspy_memory::Range;

use super::anchors::Root;
use super::look::{Look, No, Proof, Searched, Since, Slots, Start};
use super::{Idle, Mismatch, grpc, http, own, plan};
use crate::unwind::StackBytes;
use crate::{Bounds, G};

/// Bytes read of the upper end of a stack that was not walked.
const TOP_BYTES: u64 = 2 << 10;
/// Times that a stack is looked for where it has moved to.
const MAX_MOVES: usize = 3;

/// Finds the request of `look`'s goroutine.
pub(super) async fn search(look: Look<'_>, start: Result<Start, No>) -> Searched {
    // What such a goroutine was seen to serve it serves to its end.
    let serves_one = start.as_ref().is_ok_and(Start::serves_one);
    let only = look.last.clone().filter(|_| serves_one);
    if let Some(request) = only.clone().filter(|request| look.is_complete(request)) {
        return Searched::known(request);
    }
    let (slots, read) = match slots(&look, start).await {
        Ok(found) => found,
        Err(no) => return only.map_or(Searched::no(no), Searched::known),
    };
    let mut found = match slots.stream {
        Some(_) => grpc::find(&look, &slots).await,
        None => http::find(&look, &slots).await,
    };
    if let (Ok(found), Some((root, top))) = (&mut found, read)
        && !own::is_own(&look, root, &top, &slots).await
    {
        found.proof = Proof::Doubtful;
    }
    match (found, only) {
        (Err(_), Some(request)) => Searched::known(request),
        (found, _) => Searched { connection: slots.connection, found },
    }
}

/// The words to begin with, and where they were read if the stack was not walked.
async fn slots(look: &Look<'_>, start: Result<Start, No>) -> Result<(Slots, Option<(Root, Top)>), No> {
    let root = match start? {
        Start::Walked(slots) => return Ok((slots, None)),
        Start::Awaits(_) => return Err(No::Idle(Idle::Connection)),
        Start::Top(root) => root,
    };
    let top = read_top(look).await?;
    let frames = &mut look.shared.frames.borrow_mut();
    plan::top(look.shared.runtime, look.shared.anchors, frames, top.bounds, top.stack(), root)
        .map_err(|no| if top.since == Since::Same { no } else { No::Torn })
        // Who had not stopped yet has not taken on another call: before each it waits. (One is handed over only to who waits, by
        // a channel without a buffer: `server.go` of grpc, `serverWorkerChannel`.)
        .map(|slots| Slots { reused: slots.reused && top.since != Since::Same, ..slots })
        .map(|slots| (slots, Some((root, top))))
}

/// The upper end of a goroutine's stack.
pub(super) struct Top {
    pub(super) bytes: Vec<u8>,
    pub(super) range: Range,
    /// Of the stack.
    pub(super) bounds: Bounds,
    /// What has become of the goroutine since it was first looked at.
    pub(super) since: Since,
}

impl Top {
    pub(super) fn stack(&self) -> StackBytes<'_> {
        StackBytes { start: self.range.addr, bytes: &self.bytes }
    }
}

/// Reads the upper end of the goroutine's stack. That may have moved since the goroutine was first looked at, and where it
/// was is another goroutine's now.
pub(super) async fn read_top(look: &Look<'_>) -> Result<Top, No> {
    let mut bounds = look.g.bounds;
    for _ in 0..MAX_MOVES {
        let len = bounds.hi.saturating_sub(bounds.lo).min(TOP_BYTES);
        let range = Range { addr: bounds.hi.wrapping_sub(len), len: len as usize };
        let [bytes, g] = look.shared.reads.get([range, look.g_range()]).await;
        let since = look.since(g.as_deref());
        let again = g.and_then(|copy| G::decode(&look.shared.runtime.layout, &copy));
        let Some(again) = again.filter(|_| since != Since::Gone) else { break };
        if again.bounds == bounds {
            let bytes = bytes.ok_or(No::Unknown(Mismatch::Unmapped))?;
            return Ok(Top { bytes, range, bounds, since });
        }
        bounds = again.bounds;
    }
    Err(No::Torn)
}
