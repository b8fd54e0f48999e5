//! Looking when it is time to, without pushing anybody aside who need not be.

use fgspy_perf::LowLatency;

use crate::tick::Tick;

/// Who waits longer than this for a CPU after a tick was due, or takes longer than this for a tick, whether by its own
/// work or because others had the CPU meanwhile, is not served in time.
const IN_TIME_NS: u64 = 1_000_000;
/// For so many ticks the sampling thread goes first then, before it is tried without.
const TICKS_FIRST: u32 = 500;

/// Decides how the sampling thread asks to be served.
///
/// Whoever goes before all others (`SCHED_FIFO`) runs where it ran last, and takes that CPU from the target though another
/// may be idle (the kernel's `kernel/sched/rt.c`, `select_task_rq_rt`); whoever is scheduled like most is woken on the idle
/// one, but waits where none is. So it goes first only where it was late without. And who goes first must not stay: once a
/// tick was not brief, it is served in turn for good.
#[derive(Debug, Default)]
pub(crate) struct OnTime {
    prompt: Option<LowLatency>,
    /// For so many ticks more it goes first.
    first: u32,
    /// A tick took more than half a period.
    was_long: bool,
}

impl OnTime {
    /// To be called after each tick, at `now_ns`.
    pub(crate) fn after(&mut self, tick: Tick, now_ns: u64) {
        let was_first = self.goes_first();
        let (waited, took) = (tick.now_ns.saturating_sub(tick.due_ns), now_ns.saturating_sub(tick.now_ns));
        self.was_long |= took > tick.period_ns / 2;
        let in_time = waited.max(took) <= IN_TIME_NS;
        self.first = if in_time { self.first.saturating_sub(1) } else { TICKS_FIRST };
        if self.prompt.is_none() || self.goes_first() != was_first {
            drop(self.prompt.take());
            self.prompt = Some(LowLatency::request(self.goes_first()));
        }
    }

    fn goes_first(&self) -> bool {
        self.first > 0 && !self.was_long
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD_NS: u64 = 10_000_000;

    /// A tick that came so long after it was due, and took so long.
    fn after(on_time: &mut OnTime, delay_ns: u64, took_ns: u64) -> bool {
        let (due_ns, now_ns) = (PERIOD_NS, PERIOD_NS + delay_ns);
        let tick = Tick { due_ns, now_ns, interval_ns: PERIOD_NS, period_ns: PERIOD_NS, late: false, last: false };
        on_time.after(tick, now_ns + took_ns);
        on_time.goes_first()
    }

    #[test]
    fn it_goes_first_for_a_while_after_it_was_late() {
        let mut on_time = OnTime::default();
        assert!(!after(&mut on_time, IN_TIME_NS, 0));
        assert!(after(&mut on_time, IN_TIME_NS + 1, 0));
        for tick in 1..TICKS_FIRST {
            assert!(after(&mut on_time, 0, 0), "{tick}");
        }
        assert!(!after(&mut on_time, 0, 0));
        assert!(after(&mut on_time, 0, IN_TIME_NS + 1), "what is read at a tick is to be of one moment");
    }

    #[test]
    fn who_takes_long_never_goes_first_again() {
        let mut on_time = OnTime::default();
        assert!(after(&mut on_time, PERIOD_NS, PERIOD_NS / 2));
        assert!(!after(&mut on_time, PERIOD_NS, PERIOD_NS / 2 + 1));
        assert!(!after(&mut on_time, PERIOD_NS, 0));
    }
}
