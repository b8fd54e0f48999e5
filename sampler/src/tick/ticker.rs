//! When to read: at random moments, one in each period, with an honest account of the ones that were missed.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;

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
    /// The wall time that an observation at this tick stands for: a period, or as many as have passed without a tick of
    /// their own.
    pub interval_ns: u64,
    /// The period that was asked for.
    pub period_ns: u64,
    /// It came more than half a period after it was due.
    pub late: bool,
    /// The recording is to end with this tick.
    pub last: bool,
}

/// Makes ticks at a steady rate, but not at regular times: one in each period, at a random moment of it.
///
/// What a program does at regular times, or nearly, regular ticks would meet in the same place again and again, and would
/// take for all that it does. Random moments within equal periods see everything with the chance that its share of the
/// time gives it. So looks are independent of each other, as the error assumes (stratified sampling;
/// Cochran, Sampling Techniques, 3rd ed. 1977, 5.2).
///
/// A tick counts for the period *before* the one in which it comes: that has passed, whatever becomes of the target.
#[derive(Debug)]
pub struct Ticker {
    period_ns: u64,
    start_ns: u64,
    end_ns: Option<u64>,
    /// Periods before the one in which the next tick is due; never 0.
    periods: u64,
    due_ns: u64,
    rng: Rng,
}

impl Ticker {
    /// One tick every `period`, from now on, until `duration` is over (for ever without one). `rng` draws the moments.
    pub fn new(now_ns: u64, period: Duration, duration: Option<Duration>, rng: Rng) -> Ticker {
        let mut ticker = Ticker {
            period_ns: nanoseconds(period).max(1),
            start_ns: now_ns,
            end_ns: duration.map(|duration| now_ns.saturating_add(nanoseconds(duration))),
            periods: 1,
            due_ns: now_ns,
            rng,
        };
        ticker.draw(1);
        ticker
    }

    /// How long from `now_ns` until the next tick is due. The last one is due at the end of the recording, so that the
    /// time up to there is covered too.
    pub fn until_due(&self, now_ns: u64) -> Duration {
        Duration::from_nanos(self.next_due().saturating_sub(now_ns))
    }

    /// The tick that came at `now_ns`. `stopped` when it came early because the recording is to end.
    pub fn tick(&mut self, now_ns: u64, stopped: bool) -> Tick {
        let due_ns = if stopped { now_ns.min(self.next_due()) } else { self.next_due() };
        let last = stopped || self.end_ns.is_some_and(|end| now_ns >= end);
        let covered_ns = self.covered_ns();
        // Moments that have already passed are skipped, not made up for in a burst: their periods are in this tick's
        // interval.
        while now_ns >= self.due_ns {
            let periods = now_ns.saturating_sub(self.start_ns) / self.period_ns;
            self.draw(periods.max(self.periods + 1));
        }
        let until_ns = if last { now_ns } else { self.covered_ns() };
        let interval_ns = until_ns.saturating_sub(covered_ns);
        let late = now_ns.saturating_sub(due_ns) > self.period_ns / 2;
        Tick { due_ns, now_ns, interval_ns, period_ns: self.period_ns, late, last }
    }

    /// Makes the next tick due in the period that comes after `periods` others.
    fn draw(&mut self, periods: u64) {
        self.periods = periods;
        self.due_ns = self.start_of(periods).saturating_add(self.rng.u64(..self.period_ns));
    }

    /// Up to when the ticks that have been stand for the time.
    fn covered_ns(&self) -> u64 {
        self.start_of(self.periods - 1)
    }

    fn start_of(&self, period: u64) -> u64 {
        self.start_ns.saturating_add(period.saturating_mul(self.period_ns))
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
    use fastrand::Rng;
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    const PERIOD: Duration = Duration::from_nanos(100);

    fn ticker(start_ns: u64, duration: Option<u64>) -> Ticker {
        Ticker::new(start_ns, PERIOD, duration.map(Duration::from_nanos), Rng::with_seed(1))
    }

    proptest! {
        #[test]
        fn intervals_add_up_to_the_time_that_passed(
            delays in prop::collection::vec(prop_oneof![3 => 0u64..30, 1 => 0u64..500], 1..50),
            seed in any::<u64>(),
        ) {
            let duration = Duration::from_nanos(2050);
            let mut ticker = Ticker::new(1000, PERIOD, Some(duration), Rng::with_seed(seed));
            let (mut now, mut covered) = (1000, 1000);
            for delay in delays {
                now += ticker.until_due(now).as_nanos() as u64 + delay;
                let tick = ticker.tick(now, false);
                covered += tick.interval_ns;
                prop_assert_eq!((tick.now_ns, tick.due_ns), (now, now - delay));
                prop_assert_eq!(tick.late, delay > 50);
                prop_assert_eq!(tick.last, now >= 3050);
                if tick.last {
                    prop_assert_eq!(covered, now);
                    break;
                }
                // Whole periods, all of them over; who is in time leaves none out.
                prop_assert_eq!(tick.interval_ns % 100, 0);
                prop_assert!(tick.interval_ns >= 100 && covered <= now);
                prop_assert!(delay >= 100 || now - covered < 300);
            }
        }
    }

    #[test]
    fn there_is_a_tick_in_each_period_at_any_moment_of_it() {
        let mut ticker = ticker(0, None);
        let mut phases = [0; 10];
        for period in 1..=10_000 {
            let now = ticker.until_due(0).as_nanos() as u64;
            let tick = ticker.tick(now, false);
            assert_eq!((now / 100, tick.interval_ns), (period, 100));
            phases[(now % 100 / 10) as usize] += 1;
        }
        // 1000 each, with a standard deviation of 30.
        assert!(phases.iter().all(|count| (850..1150).contains(count)), "{phases:?}");
    }

    #[test]
    fn missed_moments_are_skipped_and_their_time_is_kept() {
        let mut ticker = ticker(0, None);
        let tick = ticker.tick(1200, false);
        // The moment in the period that begins just now may have passed too.
        assert!([1100, 1200].contains(&tick.interval_ns) && tick.late, "{tick:?}");
        let next = ticker.until_due(0).as_nanos() as u64;
        assert_eq!(next / 100, tick.interval_ns / 100 + 1);
    }

    #[test]
    fn a_stop_ends_with_a_tick_of_its_own() {
        for now in [99, 130, 250, 1000] {
            let mut ticker = ticker(0, None);
            let due = ticker.until_due(0).as_nanos() as u64;
            let before = if due <= now { ticker.tick(due, false).interval_ns } else { 0 };
            let tick = ticker.tick(now, true);
            assert_eq!((before + tick.interval_ns, tick.last), (now, true));
        }
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
