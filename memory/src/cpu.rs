//! CPU time: that of the target's threads, and our own.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::text::{number, words};

/// What a thread has got from the scheduler since it started: `/proc/PID/task/TID/schedstat` (the kernel's
/// Documentation/scheduler/sched-stats.rst).
///
/// The kernel brings them up to date at clock ticks and when threads are switched, so for a thread that is on a CPU
/// right now they may lag by a tick (1 to 10 ms).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedTimes {
    /// How long it has been on a CPU.
    pub on_cpu: Duration,
    /// How long it could have run, but waited for a CPU.
    pub waiting: Duration,
    /// How often it was put on a CPU.
    pub slices: u64,
}

impl SchedTimes {
    /// `None` when the text is not that of a `schedstat` file.
    pub(crate) fn parse(text: &[u8]) -> Option<SchedTimes> {
        let mut fields = words(text);
        let mut next = || number(fields.next()?, 10);
        Some(SchedTimes {
            on_cpu: Duration::from_nanos(next()?),
            waiting: Duration::from_nanos(next()?),
            slices: next()?,
        })
    }
}

/// The CPU time that this process (fgspy, not the target) has used so far, user and system, all threads.
pub fn own_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// The CPU time that the calling thread has used so far.
pub fn own_thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_schedstat() {
        let expected = SchedTimes { on_cpu: Duration::from_nanos(12), waiting: Duration::from_nanos(3), slices: 4 };
        assert_eq!(SchedTimes::parse(b"12 3 4\n"), Some(expected));
        assert_eq!(SchedTimes::parse(b"12 3\n"), None);
        assert_eq!(SchedTimes::parse(b""), None);
    }

    #[test]
    fn our_own_time_grows_as_we_compute() {
        let before = own_cpu_time();
        let mut sum = 0u64;
        while own_cpu_time() < before + Duration::from_millis(5) {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(1));
        }
        assert!(own_cpu_time() >= before + Duration::from_millis(5));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in proptest::collection::vec(proptest::num::u8::ANY, 0..100)) {
            SchedTimes::parse(&text);
        }
    }
}
