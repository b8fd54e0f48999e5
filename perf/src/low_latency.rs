//! Scheduling of the calling thread so that it runs soon after it wakes.

use std::fmt;

use crate::sys;

/// How long the scheduler may let this thread run at once, in nanoseconds: the shortest that it takes (Linux 6.12,
/// kernel/sched/syscalls.c). A thread that asks for little is served sooner (EEVDF).
const SLICE_NS: u64 = 100_000;

/// The calling thread runs as soon as it is to wake, until this is dropped.
///
/// Whoever looks only when a CPU has become free looks at the target when it has just run out of work: states are then seen
/// in wrong proportions. And by default the kernel may delay a timer by up to 50 µs, to the next interrupt that comes anyway (timer
/// slack): which may be the target's timer, and then who looks always finds somebody who has just woken.
#[must_use = "dropping it ends it"]
pub struct LowLatency {
    /// How the thread was scheduled before; `None` where nothing was changed.
    before: Option<libc::sched_attr>,
    /// Its timer slack before, in nanoseconds; likewise.
    slack_ns: Option<u64>,
    first: bool,
}

impl LowLatency {
    /// Asks for it. With `first` it asks to go before all that are scheduled like most (`SCHED_FIFO`, of the lowest priority),
    /// which takes the privilege of CAP_SYS_NICE; only for threads that run briefly at a time. Otherwise, and without that
    /// privilege, it asks for a short slice, and nobody is worse off by more than what the thread computes.
    ///
    /// A thread that somebody scheduled in a way of its own is left alone.
    pub fn request(first: bool) -> LowLatency {
        let before = sys::scheduling().ok().filter(|attr| i32::try_from(attr.sched_policy) == Ok(libc::SCHED_OTHER));
        let Some(before) = before else { return LowLatency { before: None, slack_ns: None, first: false } };
        let slack_ns = sys::timer_slack().ok().filter(|_| sys::set_timer_slack(1).is_ok());
        let fifo = libc::sched_attr {
            sched_policy: libc::SCHED_FIFO as u32,
            sched_priority: 1,
            // Not for what it starts.
            sched_flags: libc::SCHED_FLAG_RESET_ON_FORK as u64,
            sched_nice: 0,
            sched_runtime: 0,
            ..before
        };
        if first && sys::set_scheduling(&fifo).is_ok() {
            return LowLatency { before: Some(before), slack_ns, first: true };
        }
        // Where the kernel does not know slices, ticks come a little later.
        let changed = sys::set_scheduling(&libc::sched_attr { sched_runtime: SLICE_NS, ..before }).is_ok();
        LowLatency { before: changed.then_some(before), slack_ns, first: false }
    }

    /// Whether it goes first.
    pub const fn is_first(&self) -> bool {
        self.first
    }
}

impl Drop for LowLatency {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = sys::set_scheduling(before);
        }
        if let Some(slack_ns) = self.slack_ns {
            let _ = sys::set_timer_slack(slack_ns);
        }
    }
}

impl fmt::Debug for LowLatency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LowLatency").field("first", &self.first).finish_non_exhaustive()
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
        let (slice, slack) = (sys::scheduling().unwrap().sched_runtime, sys::timer_slack().unwrap());
        for first in [false, true] {
            let prompt = LowLatency::request(first);
            assert_eq!(policy(), if prompt.is_first() { libc::SCHED_FIFO } else { libc::SCHED_OTHER });
            assert!(first || !prompt.is_first());
            // Who goes first has no slack, whatever is asked for.
            assert!(prompt.is_first() || sys::timer_slack().unwrap() == 1);
            drop(prompt);
            assert_eq!((policy(), sys::scheduling().unwrap().sched_runtime), (libc::SCHED_OTHER, slice));
            assert_eq!(sys::timer_slack().unwrap(), slack);
        }
    }

    #[test]
    fn what_somebody_chose_stays() {
        let batch = libc::sched_attr { sched_policy: libc::SCHED_BATCH as u32, ..sys::scheduling().unwrap() };
        sys::set_scheduling(&batch).unwrap();
        let prompt = LowLatency::request(true);
        assert_eq!((policy(), prompt.is_first()), (libc::SCHED_BATCH, false));
    }
}
