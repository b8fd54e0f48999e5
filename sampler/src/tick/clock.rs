//! The moment of a tick, and the clock.

use fgspy_perf::monotonic_ns;

/// The moment of a tick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// Its number, from 1 on.
    pub(crate) tick: u32,
    /// The time of the recording at the tick before, in nanoseconds.
    pub(crate) previous_ns: u64,
    /// The time of the recording at this tick.
    pub(crate) now_ns: u64,
    /// When this tick was due, by the kernel's clock.
    pub(crate) due_ns: u64,
    /// By the clock.
    pub(crate) clock: Clock,
}

/// When a tick began, by the clock, and a clock that goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// When the recording began, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) start_ns: u64,
    /// When the tick began, in nanoseconds since then.
    pub(crate) tick_ns: u64,
}

impl Clock {
    /// The clock at a tick that began at `now_ns`, of a recording that began at `start_ns`, both of `CLOCK_MONOTONIC`.
    pub(crate) fn at(start_ns: u64, now_ns: u64) -> Clock {
        Clock { start_ns, tick_ns: now_ns.saturating_sub(start_ns) }
    }

    /// A clock that stands still, at so many nanoseconds since the recording began.
    pub(crate) fn stopped(tick_ns: u64) -> Clock {
        Clock { start_ns: u64::MAX, tick_ns }
    }

    /// When the tick began, in nanoseconds since the recording began.
    pub(crate) fn tick_ns(self) -> u64 {
        self.tick_ns
    }

    /// The time, in nanoseconds since the recording began.
    pub(crate) fn now_ns(self) -> u64 {
        monotonic_ns().saturating_sub(self.start_ns).max(self.tick_ns)
    }
}

impl Now {
    pub(crate) fn interval_ns(self) -> u64 {
        self.now_ns.saturating_sub(self.previous_ns)
    }
}
