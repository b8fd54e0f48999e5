//! The search for the request of one goroutine.

use fgspy_memory::Range;

use super::look::{Found, Look, No, Since, Start};
use super::{Mismatch, grpc, http, plan};
use crate::unwind::StackBytes;

/// Bytes read of the upper end of a stack that was not walked.
const TOP_BYTES: u64 = 2 << 10;

/// Finds the request of `look`'s goroutine.
pub(super) async fn search(look: Look<'_>, start: Result<Start, No>) -> Result<Found, No> {
    let slots = match start? {
        Start::Walked(slots) => slots,
        Start::Top(root) => {
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
                .map_err(|no| if since == Since::Same { no } else { No::Torn })?
        }
    };
    match slots.stream {
        Some(_) => grpc::find(&look, &slots).await,
        None => http::find(&look, &slots).await,
    }
}
