//! How sure a profile is of its shares.

use crate::quantiles::Z_95;
use crate::replicates::{self, REPLICATES, add};
use crate::{Accounting, Class, Profile, Sample};

impl Profile {
    /// Half the width of the 95 % confidence interval of each class's time, in nanoseconds, in the order of
    /// [`Class::ALL`].
    ///
    /// Each goroutine's observations are taken for independent draws of what it does: of n observations, of which a share
    /// p was in a class, the standard error is √(p(1 − p)/n). There is in truth one tick in each period, and goroutines
    /// stay in a state for longer than that as often as not, both of which make the estimate better; a goroutine that was
    /// always seen doing the same adds nothing.
    ///
    /// n counts for less where ticks came late: if their intervals are I, it is n (ΣI)²/(ticks ΣI²), as one that stands for
    /// ten times as much is no surer than another (Kish's effective sample size).
    ///
    /// A goroutine that was born or died meanwhile was there for some part of a tick more or less than it was seen: that
    /// adds a sixth of a squared tick (the variance of the number of ticks that fall into a given time), and a whole one for
    /// a goroutine that was seen but once, because others like it were not seen at all.
    ///
    /// To this comes what a sampler that does not read every goroutine at every tick says of itself:
    /// [`crate::Sample::variance_us2`].
    ///
    /// All that takes goroutines for independent of each other. Where many do the same at the same moment (wait for one
    /// lock, wake with one timer) it is too little, and what the [`crate::replicates`] say is more: the greater counts.
    ///
    /// Last, goroutines are queued for longer because of the recording itself, and it does not see that: this is not chance, and
    /// counts as much as it may be (`queueing.rs`).
    pub fn class_errors(&self) -> [(Class, f64); Class::COUNT] {
        let mut variances = [0.0; Class::COUNT];
        for goroutine in self.by_goroutine().chunk_by(|a, b| self.goid(*a) == self.goid(*b)) {
            let (mut observations, mut total, mut times) = (0.0, 0.0, [0.0; Class::COUNT]);
            for sample in goroutine.iter().filter_map(|&index| self.samples.get(index as usize)) {
                observations += sample.count as f64;
                total += sample.time_ns as f64;
                if let Some(time) = times.get_mut(sample.class(self).index()) {
                    *time += sample.time_ns as f64;
                }
            }
            for (time, variance) in times.iter().zip(&mut variances) {
                *variance += self.of_ticks(observations, total, *time);
            }
        }
        for sample in &self.samples {
            if let Some(variance) = variances.get_mut(sample.class(self).index()) {
                *variance += of_choice(sample);
            }
        }
        let mut by_class = [[0; REPLICATES]; Class::COUNT];
        for part in &self.replicates.parts {
            if let Some(sum) = by_class.get_mut(part.sample().class(self).index()) {
                add(sum, &part.time_ns);
            }
        }
        let of_replicates = by_class.iter().map(|time_ns| replicates::variance(time_ns, &self.replicates.duration_ns));
        let of_chance = variances.into_iter().zip(of_replicates).map(|(independent, any)| independent.max(any));
        let mut variances =
            of_chance.zip(self.not_seen_queued_by_class()).map(|(variance, not_seen)| variance + not_seen * not_seen);
        Class::ALL.map(|class| (class, Z_95 * variances.next().unwrap_or(0.0).sqrt()))
    }

    /// The standard error, in nanoseconds, of the total time of the samples that `belongs` picks, reckoned as
    /// [`Profile::class_errors`] does.
    pub fn standard_error_ns(&self, belongs: &dyn Fn(&Sample) -> bool) -> f64 {
        let mut variance = 0.0;
        for goroutine in self.by_goroutine().chunk_by(|a, b| self.goid(*a) == self.goid(*b)) {
            let (mut observations, mut total, mut time) = (0.0, 0.0, 0.0);
            for sample in goroutine.iter().filter_map(|&index| self.samples.get(index as usize)) {
                observations += sample.count as f64;
                total += sample.time_ns as f64;
                if belongs(sample) {
                    time += sample.time_ns as f64;
                    variance += of_choice(sample);
                }
            }
            variance += self.of_ticks(observations, total, time);
        }
        let not_seen = self.not_seen_queued_ns(belongs);
        (variance.max(self.replicates.variance(belongs)) + not_seen * not_seen).sqrt()
    }

    /// The variance, in square nanoseconds, of the `time` in a class of a goroutine that was seen `observations` times,
    /// which stand for `total`.
    fn of_ticks(&self, observations: f64, total: f64, time: f64) -> f64 {
        if observations <= 0.0 || total <= 0.0 {
            return 0.0;
        }
        let (share, tick) = (time / total, total / observations);
        let ends = match observations {
            1.0 => 1.0,
            2.0 => 0.5,
            _ => 1.0 / 6.0,
        };
        let was_there_throughout = observations + 1.0 >= self.accounting.ticks as f64;
        let of_ends = if was_there_throughout { 0.0 } else { tick * tick * share * ends };
        total * total * share * (1.0 - share) * self.unevenness() / observations + of_ends
    }

    /// How many times as many ticks it takes to be as sure as with ticks that are evenly spaced.
    fn unevenness(&self) -> f64 {
        let Accounting { ticks, squared_intervals_us2, .. } = self.accounting;
        let duration_us = self.duration_ns as f64 / 1e3;
        if duration_us == 0.0 {
            return 1.0;
        }
        (ticks as f64 * squared_intervals_us2 as f64 / (duration_us * duration_us)).max(1.0)
    }
}

/// The variance, in square nanoseconds, that comes of not having read every goroutine at every tick.
fn of_choice(sample: &Sample) -> f64 {
    sample.variance_us2 as f64 * 1e6
}

#[cfg(test)]
mod tests {
    use crate::replicates::{Part, REPLICATES, Replicates};
    use crate::{Builder, Class, Profile, SampleKey, Serving, State, Target};

    /// A profile of (goroutine, state, observations, nanoseconds).
    fn profile(samples: &[(u64, State, u64, u64)]) -> Profile {
        let mut builder = Builder::new(Target::default(), 0);
        let stack = builder.stack(&[]);
        let labels = builder.labels(&[]);
        for &(goid, state, count, time_ns) in samples {
            let key =
                SampleKey { stack, goid, state, wait_reason: None, labels, creator: None, serving: Serving::Unknown };
            builder.add(key, count, time_ns);
        }
        builder.finish(1, Default::default())
    }

    fn error(profile: &Profile, class: Class) -> f64 {
        profile.class_errors()[class.index()].1
    }

    #[test]
    fn what_never_changes_has_no_error() {
        let profile = profile(&[(1, State::Runnable, 100, 1000), (2, State::Syscall, 100, 1000)]);
        assert_eq!(error(&profile, Class::Runnable), 0.0);
        assert_eq!(error(&profile, Class::Running), 0.0);
    }

    #[test]
    fn what_comes_and_goes_is_less_sure_than_what_stays() {
        let mut profile = profile(&[(1, State::Runnable, 50, 500), (2, State::Syscall, 1, 10)]);
        assert_eq!(error(&profile, Class::Runnable), 0.0);
        profile.accounting.ticks = 100;
        // 50 and 1 of 100 ticks of 10 ns: 1.96 × √(100/6), and 1.96 × 10.
        assert!((error(&profile, Class::Runnable) - 8.002).abs() < 1e-3);
        assert!((error(&profile, Class::Syscall) - 19.6).abs() < 1e-9);
        let all = profile.standard_error_ns(&|_| true);
        assert!((all - (100.0f64 / 6.0 + 100.0).sqrt()).abs() < 1e-9, "{all}");
    }

    #[test]
    fn what_was_not_read_at_every_tick_says_so() {
        let mut profile = profile(&[(1, State::Runnable, 100, 1000), (2, State::Syscall, 100, 1000)]);
        profile.samples[0].variance_us2 = 9;
        assert!((error(&profile, Class::Runnable) - 1.96 * 3000.0).abs() < 1e-9);
        assert_eq!(error(&profile, Class::Syscall), 0.0);
        assert_eq!(profile.standard_error_ns(&|sample| sample.state == State::Runnable), 3000.0);
    }

    #[test]
    fn late_ticks_make_it_less_sure() {
        let mut profile = profile(&[(1, State::Running, 5, 50_000), (1, State::Runnable, 5, 50_000)]);
        (profile.duration_ns, profile.accounting.ticks) = (100_000, 10);
        let even = error(&profile, Class::Running);
        // Ten ticks of 10 µs.
        profile.accounting.squared_intervals_us2 = 10 * 100;
        assert_eq!(error(&profile, Class::Running), even);
        // Nine of 1 µs and one of 91 µs.
        profile.accounting.squared_intervals_us2 = 9 + 91 * 91;
        assert!((error(&profile, Class::Running) / even - (10.0 * 8290.0f64 / 10_000.0).sqrt()).abs() < 1e-9);
    }

    #[test]
    fn goroutines_in_step_are_as_sure_as_one() {
        // 50 goroutines, each seen 64 times, one time of four at work: always all of them.
        let rows: Vec<_> =
            (1..=50).flat_map(|id| [(id, State::Running, 16, 160), (id, State::Runnable, 48, 480)]).collect();
        let mut profile = profile(&rows);
        let independent = error(&profile, Class::Running);
        assert!((independent - 1.96 * 640.0 * (50.0 * 0.25 * 0.75 / 64.0f64).sqrt()).abs() < 1e-9);
        // 4 ticks of each replicate; half of them saw the goroutines work at no tick, the others at 2 of 4.
        let at_work: [i64; REPLICATES] = std::array::from_fn(|index| if index % 2 == 0 { 0 } else { 50 * 20 });
        let part = |sample: usize, time_ns| Part { key: profile.samples[sample].key(), time_ns };
        let parts = vec![part(0, at_work), part(1, at_work.map(|time| 50 * 40 - time))];
        profile.replicates = Replicates { duration_ns: [40; REPLICATES], parts };
        let together = 1.96 * (16.0 * 500.0f64.powi(2) * 16.0 / 15.0).sqrt() * 2.1314 / 1.96;
        assert!((error(&profile, Class::Running) / together - 1.0).abs() < 1e-3);
        assert!((error(&profile, Class::Runnable) / together - 1.0).abs() < 1e-3);
        let all = profile.standard_error_ns(&|_| true);
        assert_eq!(all, 0.0, "there were always 50 of them");
    }

    #[test]
    fn errors_of_goroutines_add_in_squares() {
        // p = 1/2, n = 100: 1.96 × 1000 × √(1/400) = 98.
        let one = profile(&[(1, State::Running, 50, 500), (1, State::Runnable, 50, 500)]);
        assert!((error(&one, Class::Running) - 98.0).abs() < 1e-9);
        assert_eq!(error(&one, Class::Running), error(&one, Class::Runnable));
        let four: Vec<_> =
            (1..=4).flat_map(|id| [(id, State::Running, 50, 500), (id, State::Runnable, 50, 500)]).collect();
        assert!((error(&profile(&four), Class::Running) - 196.0).abs() < 1e-9);
    }
}
