//! The search for the request of one goroutine.

use fgspy_memory::Range;

use super::anchors::Role;
use super::look::{Look, No, Searched, Since, Slots, Start};
use super::{Mismatch, grpc, http, plan};
use crate::unwind::StackBytes;

/// Bytes read of the upper end of a stack that was not walked.
const TOP_BYTES: u64 = 2 << 10;

/// Finds the request of `look`'s goroutine.
pub(super) async fn search(look: Look<'_>, start: Result<Start, No>) -> Searched {
    let serves_one = match &start {
        Ok(Start::Walked(slots)) => slots.connection.is_none() && !slots.reused,
        Ok(Start::Top(root)) => matches!(root.role, Role::RunHandler | Role::Stream),
        Err(_) => false,
    };
    // A goroutine of HTTP/2 or of gRPC serves one request in its life, except those of a pool.
    let only = look.last.clone().filter(|_| serves_one);
    if let Some(request) = only.clone().filter(|request| look.is_complete(request)) {
        return Searched::known(request);
    }
    let slots = match slots(&look, start).await {
        Ok(slots) => slots,
        Err(no) => return only.map_or(Searched::no(no), Searched::known),
    };
    let found = match slots.stream {
        Some(_) => grpc::find(&look, &slots).await,
        None => http::find(&look, &slots).await,
    };
    match (found, only) {
        (Err(_), Some(request)) => Searched::known(request),
        (found, _) => Searched { connection: slots.connection, found },
    }
}

/// The words to begin with.
async fn slots(look: &Look<'_>, start: Result<Start, No>) -> Result<Slots, No> {
    let root = match start? {
        Start::Walked(slots) => return Ok(slots),
        Start::Top(root) => root,
    };
    let bounds = look.g.bounds;
    let len = bounds.hi.saturating_sub(bounds.lo).min(TOP_BYTES);
    let range = Range { addr: bounds.hi.wrapping_sub(len), len: len as usize };
    let [bytes, g] = look.shared.reads.get([range, look.g_range()]).await;
    // A goroutine that runs on may have moved to a larger stack: this one is whole nevertheless, but old.
    let since = look.since(g.as_deref());
    if since == Since::Gone {
        return Err(No::Torn);
    }
    let bytes = bytes.ok_or(No::Unknown(Mismatch::Unmapped))?;
    let stack = StackBytes { start: range.addr, bytes: &bytes };
    let frames = &mut look.shared.frames.borrow_mut();
    plan::top(look.shared.runtime, look.shared.anchors, frames, bounds, stack, root)
        .map_err(|no| if since == Since::Same { no } else { No::Torn })
}
