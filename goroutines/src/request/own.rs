//! Whether what lies at the root of a stack that was not walked was put there by the goroutine itself.
//!
//! A goroutine that has just begun has not put anything there yet. What lies there may be what another one left, whose
//! stack this was before, and the memory of that one's request may be another request's by now. So frames are believed
//! only of a goroutine that was further down its stack at some time: whatever a function needs later it has put into its
//! frame when it calls another. There are two ways to know that.
//!
//! - It has stopped once since it began, in a function that those at the root have called. The runtime leaves the program
//!   counter of a saved context as it was when the goroutine was resumed (`runtime/asm_amd64.s`, `gogo`), and writes the
//!   start function's into it when the goroutine is made (`runtime/proc.go`, `newproc1`).
//! - Something below those frames changed while they were read: nobody else writes there. (Whoever hands something over
//!   to a goroutine's stack does so where it waits, below these frames too.)

use super::anchors::{Role, Root};
use super::look::{Look, Since, Slots};
use super::plan;
use super::search::{Top, read_top};

/// Whether `slots`, which the upper end of a goroutine's stack was found to hold, are its own.
pub(super) async fn is_own(look: &Look<'_>, root: Root, top: &Top, slots: &Slots) -> bool {
    if has_stopped_further_down(look, root) {
        return true;
    }
    let Ok(again) = read_top(look).await else { return false };
    let frames = &mut look.shared.frames.borrow_mut();
    let (runtime, anchors) = (look.shared.runtime, look.shared.anchors);
    let found = plan::top(runtime, anchors, frames, again.bounds, again.stack(), root);
    if !found.is_ok_and(|found| look.lead_to_same(&found, slots)) {
        return false;
    }
    match root.role {
        // Its connection says what it serves: that it is the goroutine's only needs to be so for longer than it takes to begin.
        Role::Connection => again.since == Since::Same,
        // The lower part is copied first: what has changed there was written before the frames were copied again.
        _ => has_changed_below(slots.lowest, top, &again),
    }
}

/// Whether a goroutine stopped since it began, in a function called by those at the root of its stack.
fn has_stopped_further_down(look: &Look<'_>, root: Root) -> bool {
    let runtime = look.shared.runtime;
    let (pc, anchors) = (look.g.sched.pc.wrapping_sub(runtime.bias), look.shared.anchors);
    // One that was preempted may have been anywhere.
    let may_be_at_root = root.framed.func.contains(pc)
        || runtime.unwinder.special().is_goexit(pc)
        || anchors.framed.iter().any(|framed| framed.func.contains(pc))
        || anchors.preempted.iter().any(|func| func.contains(pc));
    !may_be_at_root && runtime.binary.func_at(pc).is_some()
}

/// Whether two copies of the same part of a stack differ below the address `lowest`.
fn has_changed_below(lowest: u64, one: &Top, other: &Top) -> bool {
    let len = lowest.saturating_sub(one.range.addr).min(one.bytes.len() as u64) as usize;
    one.bounds == other.bounds && one.bytes.get(..len) != other.bytes.get(..len)
}

#[cfg(test)]
mod tests {
    use fgspy_memory::Range;

    use super::*;
    use crate::Bounds;

    #[test]
    fn only_what_changes_below_the_frames_counts() {
        let top = |bytes: [u8; 4]| Top {
            bytes: bytes.to_vec(),
            range: Range { addr: 0x1000, len: 4 },
            bounds: Bounds { lo: 0x1000, hi: 0x1004 },
            since: Since::Alive,
        };
        let first = top([1, 2, 3, 4]);
        assert!(!has_changed_below(0x1002, &first, &first));
        assert!(!has_changed_below(0x1002, &first, &top([1, 2, 9, 9])));
        assert!(has_changed_below(0x1003, &first, &top([1, 2, 9, 9])));
        assert!(has_changed_below(u64::MAX, &first, &top([1, 2, 3, 9])));
        assert!(!has_changed_below(0, &first, &top([9, 9, 9, 9])));
    }
}
