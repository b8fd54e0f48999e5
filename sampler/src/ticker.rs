//! When to read: absolute deadlines, and an honest account of the ones that were missed.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Asks a recording to end. Clones share the request.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// A request that nobody has made yet.
    pub fn new() -> Stop {
        Stop::default()
    }

    /// Makes the request: whoever waits on it wakes at once.
    pub fn request(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Whether the request was made.
    pub fn is_requested(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps for `time`, or until the request is made. Returns whether it was made.
    pub fn sleep(&self, time: Duration) -> bool {
        let guard = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (guard, _) =
            self.0.1.wait_timeout_while(guard, time, |stop| !*stop).unwrap_or_else(PoisonError::into_inner);
        *guard
    }
}

/// One wake-up of the sampler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// When it was due, in nanoseconds of `CLOCK_MONOTONIC`.
    pub due_ns: u64,
    /// When it came.
    pub now_ns: u64,
    /// Measured time since the previous tick came: the wall time that an observation at this tick stands for.
    pub interval_ns: u64,
    /// The period that was asked for.
    pub period_ns: u64,
    /// It came more than half a period after it was due.
    pub late: bool,
    /// The recording is to end with this tick.
    pub last: bool,
}

/// Makes ticks at a steady rate.
#[derive(Debug)]
pub struct Ticker {
    period_ns: u64,
    due_ns: u64,
    previous_ns: u64,
    end_ns: Option<u64>,
}

impl Ticker {
    /// Ticks every `period`, from now on, until `duration` is over (for ever without one).
    pub fn new(now_ns: u64, period: Duration, duration: Option<Duration>) -> Ticker {
        let period_ns = nanoseconds(period).max(1);
        Ticker {
            period_ns,
            due_ns: now_ns.saturating_add(period_ns),
            previous_ns: now_ns,
            end_ns: duration.map(|duration| now_ns.saturating_add(nanoseconds(duration))),
        }
    }

    /// How long from `now_ns` until the next tick is due. The last one is due at the end of the recording, so that the
    /// time up to there is covered too.
    pub fn until_due(&self, now_ns: u64) -> Duration {
        Duration::from_nanos(self.next_due().saturating_sub(now_ns))
    }

    /// The tick that came at `now_ns`. `stopped` when it came early because the recording is to end.
    pub fn tick(&mut self, now_ns: u64, stopped: bool) -> Tick {
        let due_ns = if stopped { now_ns.min(self.next_due()) } else { self.next_due() };
        let tick = Tick {
            due_ns,
            now_ns,
            interval_ns: now_ns.saturating_sub(self.previous_ns),
            period_ns: self.period_ns,
            late: now_ns.saturating_sub(due_ns) > self.period_ns / 2,
            last: stopped || self.end_ns.is_some_and(|end| now_ns >= end),
        };
        self.previous_ns = now_ns;
        // Deadlines stay on the grid. Those that have already passed are skipped, not made up for in a burst: their time
        // is in this tick's interval.
        let behind = now_ns.saturating_sub(self.due_ns) / self.period_ns;
        if now_ns >= self.due_ns {
            self.due_ns = self.due_ns.saturating_add((behind + 1).saturating_mul(self.period_ns));
        }
        tick
    }

    fn next_due(&self) -> u64 {
        self.end_ns.map_or(self.due_ns, |end| end.min(self.due_ns))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_nanos(100);

    #[test]
    fn intervals_add_up_to_the_time_that_passed() {
        let mut ticker = Ticker::new(1000, PERIOD, Some(Duration::from_nanos(450)));
        let times = [1100, 1203, 1390, 1420, 1450];
        let ticks: Vec<Tick> = times.iter().map(|&now| ticker.tick(now, false)).collect();
        assert_eq!(ticks.iter().map(|tick| tick.interval_ns).sum::<u64>(), 450);
        assert_eq!(ticks.iter().map(|tick| tick.due_ns).collect::<Vec<_>>(), [1100, 1200, 1300, 1400, 1450]);
        assert_eq!(ticks.iter().map(|tick| tick.late).collect::<Vec<_>>(), [false, false, true, false, false]);
        assert_eq!(ticks.iter().map(|tick| tick.last).collect::<Vec<_>>(), [false, false, false, false, true]);
    }

    #[test]
    fn missed_deadlines_are_skipped_and_their_time_is_kept() {
        let mut ticker = Ticker::new(0, PERIOD, None);
        let tick = ticker.tick(1234, false);
        assert_eq!((tick.interval_ns, tick.late), (1234, true));
        assert_eq!(ticker.until_due(1234), Duration::from_nanos(66));
    }

    #[test]
    fn a_stop_ends_with_a_tick_of_its_own() {
        let mut ticker = Ticker::new(0, PERIOD, None);
        ticker.tick(100, false);
        let tick = ticker.tick(130, true);
        assert_eq!((tick.due_ns, tick.interval_ns, tick.late, tick.last), (130, 30, false, true));
    }

    #[test]
    fn a_stop_wakes_the_sleeper() {
        let stop = Stop::new();
        assert!(!stop.sleep(Duration::ZERO));
        let waker = std::thread::spawn({
            let stop = stop.clone();
            move || stop.request()
        });
        assert!(stop.sleep(Duration::from_secs(60)));
        assert!(stop.is_requested());
        waker.join().unwrap();
    }
}
