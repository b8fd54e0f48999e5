//! Being served on time.

use std::fmt;

use crate::sys;

/// How long the scheduler may let this thread run at once, in nanoseconds: the shortest that it takes (Linux 6.12,
/// kernel/sched/syscalls.c). A thread that asks for little is served sooner (EEVDF).
const SLICE_NS: u64 = 100_000;

/// The calling thread runs soon after it wakes, until this is dropped.
///
/// Whoever looks only when a CPU has become free looks at the target when it has just run out of work: states are then seen
/// in wrong proportions.
#[must_use = "dropping it ends it"]
pub struct Prompt {
    /// How the thread was scheduled before; `None` where nothing was changed.
    before: Option<libc::sched_attr>,
    first: bool,
}

impl Prompt {
    /// Asks for it. `brief` promises that the thread computes only briefly at a time: then it asks to go before all that are
    /// scheduled like most (`SCHED_FIFO`, of the lowest priority), which takes the privilege of CAP_SYS_NICE. Otherwise, and
    /// without that privilege, it asks for a short slice, and nobody is worse off by more than what the thread computes.
    ///
    /// A thread that somebody scheduled in a way of its own is left alone.
    pub fn ask(brief: bool) -> Prompt {
        let before = sys::scheduling().ok().filter(|attr| i32::try_from(attr.sched_policy) == Ok(libc::SCHED_OTHER));
        let Some(before) = before else { return Prompt { before: None, first: false } };
        let first = libc::sched_attr {
            sched_policy: libc::SCHED_FIFO as u32,
            sched_priority: 1,
            // Not for what it starts.
            sched_flags: libc::SCHED_FLAG_RESET_ON_FORK as u64,
            sched_nice: 0,
            sched_runtime: 0,
            ..before
        };
        if brief && sys::set_scheduling(&first).is_ok() {
            return Prompt { before: Some(before), first: true };
        }
        // Where the kernel does not know slices, ticks come a little later.
        let changed = sys::set_scheduling(&libc::sched_attr { sched_runtime: SLICE_NS, ..before }).is_ok();
        Prompt { before: changed.then_some(before), first: false }
    }

    /// Whether it goes first.
    pub const fn is_first(&self) -> bool {
        self.first
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = sys::set_scheduling(before);
        }
    }
}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prompt").field("first", &self.first).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> i32 {
        sys::scheduling().unwrap().sched_policy.try_into().unwrap()
    }

    #[test]
    fn it_lasts_until_it_is_dropped() {
        let slice = sys::scheduling().unwrap().sched_runtime;
        for brief in [false, true] {
            let prompt = Prompt::ask(brief);
            assert_eq!(policy(), if prompt.is_first() { libc::SCHED_FIFO } else { libc::SCHED_OTHER });
            assert!(brief || !prompt.is_first());
            drop(prompt);
            assert_eq!((policy(), sys::scheduling().unwrap().sched_runtime), (libc::SCHED_OTHER, slice));
        }
    }

    #[test]
    fn what_somebody_chose_stays() {
        let batch = libc::sched_attr { sched_policy: libc::SCHED_BATCH as u32, ..sys::scheduling().unwrap() };
        sys::set_scheduling(&batch).unwrap();
        let prompt = Prompt::ask(true);
        assert_eq!((policy(), prompt.is_first()), (libc::SCHED_BATCH, false));
    }
}
