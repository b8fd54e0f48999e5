//! Being served on time.

use crate::sys;

/// How long the scheduler may let this thread run at once, in nanoseconds: the shortest that it takes (Linux 6.12,
/// kernel/sched/syscalls.c). A thread that asks for little is served sooner (EEVDF).
const SLICE_NS: u64 = 100_000;

/// Asks the kernel to let the calling thread run soon after it wakes, also on a machine whose CPUs are all busy.
///
/// Whoever looks only when a CPU has become free looks at the target when it has just run out of work: states are then seen
/// in wrong proportions. No privilege is needed, and nobody is worse off by more than what the thread computes.
pub fn be_prompt() {
    // Where the kernel does not know this, ticks come a little later.
    let _ = sys::set_slice(SLICE_NS);
}
