//! The search for the request of one goroutine.

use fgspy_memory::Range;

use super::anchors::{Role, Root};
use super::look::{Look, No, Proof, Searched, Since, Slots, Start};
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
    let top = match &start {
        Ok(Start::Top(root)) => Some(*root),
        _ => None,
    };
    let slots = match slots(&look, start).await {
        Ok(slots) => slots,
        Err(no) => return only.map_or(Searched::no(no), Searched::known),
    };
    let mut found = match slots.stream {
        Some(_) => grpc::find(&look, &slots).await,
        None => http::find(&look, &slots).await,
    };
    if let (Ok(found), Some(top)) = (&mut found, top)
        && !is_own(&look, top, &slots).await
    {
        found.proof = Proof::Doubtful;
    }
    match (found, only) {
        (Err(_), Some(request)) => Searched::known(request),
        (found, _) => Searched { connection: slots.connection, found },
    }
}

/// Whether what was found at the upper end of the stack of a running goroutine is its own.
///
/// One that has just begun has not put anything there yet. What it finds there may be of another goroutine that is still
/// at work: its stack grew, was moved, and this was where it had been. A goroutine that has stopped once since it began has
/// its own; one that has not is looked at again, after all else was read: by then it has come further.
async fn is_own(look: &Look<'_>, root: Root, slots: &Slots) -> bool {
    // The runtime leaves the program counter of a saved context as it was when it was resumed (`runtime/asm_amd64.s`,
    // `gogo`).
    let pc = look.g.sched.pc.wrapping_sub(look.shared.runtime.bias);
    let is_at_start = |pc: u64| {
        root.framed.func.contains(pc) || look.shared.anchors.framed.iter().any(|framed| framed.func.contains(pc))
    };
    if !is_at_start(pc) {
        return true;
    }
    match read_top(look).await {
        Ok((bytes, range, Since::Same)) => {
            let stack = StackBytes { start: range.addr, bytes: &bytes };
            let frames = &mut look.shared.frames.borrow_mut();
            let bounds = look.g.bounds;
            let again = plan::top(look.shared.runtime, look.shared.anchors, frames, bounds, stack, root);
            again.is_ok_and(|again| look.lead_to_same(&again, slots))
        }
        _ => false,
    }
}

/// The words to begin with.
async fn slots(look: &Look<'_>, start: Result<Start, No>) -> Result<Slots, No> {
    let root = match start? {
        Start::Walked(slots) => return Ok(slots),
        Start::Top(root) => root,
    };
    let (bytes, range, since) = read_top(look).await?;
    let stack = StackBytes { start: range.addr, bytes: &bytes };
    let frames = &mut look.shared.frames.borrow_mut();
    plan::top(look.shared.runtime, look.shared.anchors, frames, look.g.bounds, stack, root)
        .map_err(|no| if since == Since::Same { no } else { No::Torn })
}

/// The upper end of the goroutine's stack, and what has become of it since it was first looked at.
async fn read_top(look: &Look<'_>) -> Result<(Vec<u8>, Range, Since), No> {
    let bounds = look.g.bounds;
    let len = bounds.hi.saturating_sub(bounds.lo).min(TOP_BYTES);
    let range = Range { addr: bounds.hi.wrapping_sub(len), len: len as usize };
    let [bytes, g] = look.shared.reads.get([range, look.g_range()]).await;
    // A goroutine that runs on may have moved to a larger stack: this one is whole nevertheless, but old.
    match look.since(g.as_deref()) {
        Since::Gone => Err(No::Torn),
        since => Ok((bytes.ok_or(No::Unknown(Mismatch::Unmapped))?, range, since)),
    }
}
