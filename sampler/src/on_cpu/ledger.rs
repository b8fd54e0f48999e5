//! Whether a thread is on a CPU when a tick finds it with a goroutine, so that sums equal what the scheduler says.
//!
//! The scheduler does not say of a moment whether a thread is on a CPU, but afterwards how long it was. So each thread has
//! a ledger: the CPU time that its account says is entered, and each tick at which it is taken to be on a CPU takes out
//! what that tick stands for. Whether there is enough is decided at random where there is some, so that on average as much
//! is taken out as is entered, whatever the rhythm in which the thread gets its CPU (a quota gives it all at once, a
//! neighbour a few milliseconds in turns).
//!
//! A thread that sleeps for short moments is found with a goroutine more often than its share of the time at some
//! stretches, and less often at others, although it never waits for a CPU. So the time that it waited for one is entered
//! too, and a thread that is ready is off a CPU only where that time covers it.

use fastrand::Rng;
use fgspy_perf::SchedDelta;

/// The most CPU time that is kept for later ticks. A thread that computes without a goroutine (it looks for one) may not
/// hide later waits for long.
const MAX_RAN_NS: f64 = 5e8;
/// The most CPU time that may be owed: what chance took out too much is taken out less later, but not for ever.
const MAX_OWED_NS: f64 = 1e8;
/// The most waiting that is kept: one that is throttled is charged with its wait only when that is over.
const MAX_WAITED_NS: f64 = 1e10;
/// A thread that is ready and makes no progress for longer than this waits: see [`SchedDelta`].
const STALE_NS: u64 = 15_000_000;

/// Where a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    OnCpu,
    /// It wants to run and does not.
    Ready,
    Asleep,
}

/// What is known of a thread at a tick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    /// The kernel says that it sleeps.
    pub(crate) is_asleep: bool,
    /// The runtime says that its goroutine is in a system call or in C.
    pub(crate) is_in_call: bool,
}

/// What is entered for one thread, and not yet taken out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ledger {
    ran_ns: f64,
    waited_ns: f64,
}

impl Ledger {
    /// Enters what a thread did since the last time.
    ///
    /// At the first time it is all that the thread ever did: that says which part of a tick it may be expected to be on a
    /// CPU, of `stands_for_ns`.
    pub(crate) fn enter(&mut self, progress: SchedDelta, stands_for_ns: f64) {
        let (ran, waited) = (progress.ran_ns as f64, progress.waited_ns as f64);
        if progress.is_first {
            let share = if ran + waited > 0.0 { ran / (ran + waited) } else { 1.0 };
            *self = Ledger { ran_ns: share * stands_for_ns, waited_ns: (1.0 - share) * stands_for_ns };
            return;
        }
        self.ran_ns = (self.ran_ns + ran).min(MAX_RAN_NS.max(stands_for_ns));
        self.waited_ns = (self.waited_ns + waited).min(MAX_WAITED_NS);
    }

    /// Where the thread is, which has a goroutine at a tick that stands for `stands_for_ns`, and makes no progress for
    /// `still_ns`. Whether it is asleep the kernel says.
    ///
    /// The state of one in a call (a system call or C) is often that of a moment later than when it was seen there. If it is
    /// awake with nothing in its ledger, it slept; if it sleeps with more in it than a tick stands for, it computed.
    pub(crate) fn place(&mut self, stands_for_ns: f64, still_ns: u64, rng: &mut Rng, sight: Sight) -> Place {
        let Sight { is_asleep, is_in_call } = sight;
        if is_asleep && !(is_in_call && self.ran_ns > stands_for_ns) {
            return Place::Asleep;
        }
        if self.ran_ns > 0.0 && self.ran_ns >= rng.f64() * stands_for_ns {
            self.charge(stands_for_ns, true);
            return Place::OnCpu;
        }
        if still_ns > STALE_NS || (self.waited_ns > 0.0 && self.waited_ns >= rng.f64() * stands_for_ns) {
            self.charge(stands_for_ns, false);
            return Place::Ready;
        }
        if is_in_call {
            return Place::Asleep;
        }
        self.charge(stands_for_ns, true);
        Place::OnCpu
    }

    /// Takes out what a tick stands for at which the thread is on a CPU, or waits for one.
    pub(crate) fn charge(&mut self, stands_for_ns: f64, is_on_cpu: bool) {
        if is_on_cpu {
            self.ran_ns = (self.ran_ns - stands_for_ns).max(-MAX_OWED_NS);
        } else {
            self.waited_ns = (self.waited_ns - stands_for_ns).max(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nanoseconds between two ticks, on average.
    const TICK: f64 = 1e7;

    /// A thread as the scheduler has it: a list of times on a CPU, waiting for one, and asleep, in microseconds, again and
    /// again. At a tick it has a goroutine unless it is asleep, if `sleeps_without`.
    struct Thread {
        parts: Vec<(Place, u64)>,
        sleeps_without: bool,
    }

    /// What is estimated of a thread: seconds on a CPU and ready, and in truth.
    fn estimate(thread: &Thread, seconds: u64, seed: u64) -> ([f64; 2], [f64; 2]) {
        let mut rng = Rng::with_seed(seed);
        let mut ledger = Ledger::default();
        let (mut ran, mut waited, mut wait) = (0_u64, 0_u64, 0_u64);
        let (mut entered, mut still_since) = ((0, 0), 0);
        let (mut truth, mut estimate) = ([0.0; 2], [0.0; 2]);
        let mut parts = thread.parts.iter().cycle();
        let (mut place, mut left) = (Place::Asleep, 0);
        let mut tick_us = rng.u64(..10_000);
        let mut first = true;
        for us in 0..seconds * 1_000_000 {
            while left == 0 {
                (place, left) = *parts.next().unwrap();
            }
            left -= 1;
            match place {
                Place::OnCpu => {
                    waited += std::mem::take(&mut wait);
                    ran += 1;
                    truth[0] += 1e-6;
                }
                Place::Ready => {
                    wait += 1;
                    truth[1] += 1e-6;
                }
                Place::Asleep => {}
            }
            if us != tick_us {
                continue;
            }
            tick_us = (us / 10_000 + 1) * 10_000 + rng.u64(..10_000);
            if place == Place::Asleep && thread.sleeps_without {
                continue;
            }
            // While it runs, its account is as old as the scheduler's own tick.
            let seen = if place == Place::OnCpu { (ran.saturating_sub(us % 4000), waited) } else { (ran, waited) };
            let seen = (seen.0.max(entered.0), seen.1);
            if seen != entered || first {
                still_since = us;
            }
            let progress = SchedDelta {
                ran_ns: (seen.0 - entered.0) * 1000,
                waited_ns: (seen.1 - entered.1) * 1000,
                still_ns: (us - still_since) * 1000,
                is_first: std::mem::take(&mut first),
            };
            entered = seen;
            ledger.enter(progress, TICK);
            match ledger.place(
                TICK,
                progress.still_ns,
                &mut rng,
                Sight { is_asleep: place == Place::Asleep, is_in_call: false },
            ) {
                Place::OnCpu => estimate[0] += TICK / 1e9,
                Place::Ready => estimate[1] += TICK / 1e9,
                Place::Asleep => {}
            }
        }
        (estimate, truth)
    }

    #[track_caller]
    fn is_true(parts: &[(Place, u64)], sleeps_without: bool, within: f64) {
        let thread = Thread { parts: parts.to_vec(), sleeps_without };
        let (mut estimates, mut truths) = ([0.0; 2], [0.0; 2]);
        for seed in 0..8 {
            let (estimate, truth) = estimate(&thread, 20, seed);
            for kind in 0..2 {
                estimates[kind] += estimate[kind];
                truths[kind] += truth[kind];
            }
        }
        for (estimate, truth) in estimates.iter().zip(truths) {
            let most = within * truth.max(4.0);
            assert!((estimate - truth).abs() <= most, "{estimates:?} estimated, {truths:?} in truth");
        }
    }

    #[test]
    fn a_quota_gives_what_the_scheduler_says() {
        for percent in [10, 25, 50] {
            is_true(&[(Place::OnCpu, percent * 1000), (Place::Ready, (100 - percent) * 1000)], true, 0.02);
        }
    }

    #[test]
    fn who_shares_a_cpu_has_its_part_of_it() {
        is_true(&[(Place::OnCpu, 3_000), (Place::Ready, 3_100)], true, 0.02);
        is_true(&[(Place::OnCpu, 4_000), (Place::Ready, 12_100)], true, 0.02);
    }

    #[test]
    fn who_never_waits_is_on_a_cpu_whenever_it_has_a_goroutine() {
        let thread = Thread { parts: vec![(Place::OnCpu, 310), (Place::Asleep, 1_730)], sleeps_without: true };
        for seed in 0..20 {
            let ([_, ready], _) = estimate(&thread, 20, seed);
            assert_eq!(ready, 0.0);
        }
    }

    #[test]
    fn who_sleeps_with_its_goroutine_is_not_on_a_cpu() {
        is_true(&[(Place::OnCpu, 2_300), (Place::Asleep, 5_100)], false, 0.02);
        is_true(&[(Place::OnCpu, 2_300), (Place::Asleep, 5_100), (Place::Ready, 1_700)], false, 0.03);
    }

    #[test]
    fn who_sleeps_and_waits_has_its_part_too() {
        is_true(&[(Place::Asleep, 5_100), (Place::Ready, 1_700), (Place::OnCpu, 2_300)], true, 0.06);
    }

    #[test]
    fn a_call_is_on_a_cpu_only_for_as_long_as_its_thread_was() {
        let (mut rng, mut ledger) = (Rng::with_seed(1), Ledger::default());
        let (mut taken, mut entered) = (0.0, 0.0);
        for tick in 0..1000 {
            // It is awake whenever it is looked at, and computes for a tenth of the time.
            let progress = SchedDelta { ran_ns: 1_000_000, is_first: tick == 0, ..SchedDelta::default() };
            ledger.enter(progress, TICK);
            entered += 1e6;
            let place = ledger.place(TICK, 0, &mut rng, Sight { is_asleep: false, is_in_call: true });
            taken += if place == Place::OnCpu { TICK } else { 0.0 };
        }
        assert!((taken - entered).abs() <= 2.0 * TICK, "{taken} ns of {entered} ns");
    }
}
