//! Where the runtime keeps its processors and its run queue.

use fgspy_gobin::anchors::Anchors;
use fgspy_gobin::layout::SchedLayout;

/// Where the runtime keeps its processors and its global run queue, in the target's address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheduler {
    /// Address of the slice of p's (`runtime.allp`).
    pub allp: u64,
    /// Address of `runtime.sched`.
    pub sched: u64,
}

impl Scheduler {
    /// Where the code of the executable says they are; `None` when it does not.
    pub(crate) fn of(anchors: &Anchors, layout: &SchedLayout, bias: u64) -> Option<Scheduler> {
        let allp = anchors.allp?.ptr.wrapping_add(bias);
        let sched = anchors.pidle?.wrapping_sub(layout.pidle.into()).wrapping_add(bias);
        Some(Scheduler { allp, sched })
    }
}
