//! What a recording itself does to goroutines that wait for a CPU.
//!
//! A tick looks first, and finds the program as it is without it. While it reads it has a CPU, and who is queued for that one waits so
//! much longer; it is over when the next tick looks. So a profile has less time in [`State::Runnable`] than goroutines spent so, and
//! more of what they did otherwise. By how much is not seen, but bounded: where a tick takes a CPU for a time t and finds n
//! goroutines queued, they wait n t longer together. In all, that is the time queued × the part of one CPU that the recording took.
//! (`cargo xtask truth lives`; docs/decisions/0015-what-recording-adds-is-in-the-interval.md.)

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::{Class, LocationId, Profile, Sample, State};

/// Time in nanoseconds of goroutines that were started at one place.
#[derive(Clone, Copy, Debug, Default)]
struct Family {
    total: f64,
    queued: f64,
    /// Of both, what belongs to the part that is asked about.
    part: f64,
    part_queued: f64,
}

impl Profile {
    /// The part of one CPU that the recording took.
    pub(crate) fn own_cpu_share(&self) -> f64 {
        if self.duration_ns == 0 { 0.0 } else { self.accounting.own_cpu_ns as f64 / self.duration_ns as f64 }
    }

    /// By how many nanoseconds the time of the samples that `belongs` picks may be too little or (below 0) too much, because
    /// goroutines were queued for longer while they were not looked at.
    pub(crate) fn not_seen_queued_ns(&self, belongs: &dyn Fn(&Sample) -> bool) -> f64 {
        let share = self.own_cpu_share();
        if share == 0.0 {
            return 0.0;
        }
        let mut families: HashMap<Option<LocationId>, Family, RandomState> = HashMap::default();
        for sample in &self.samples {
            let family = families.entry(sample.creator).or_default();
            let time = sample.time_ns as f64;
            let queued = if sample.state == State::Runnable { time } else { 0.0 };
            (family.total, family.queued) = (family.total + time, family.queued + queued);
            if belongs(sample) {
                (family.part, family.part_queued) = (family.part + time, family.part_queued + queued);
            }
        }
        families.values().map(|family| longer(share, family)).sum()
    }
}

impl Profile {
    /// The same of each class, in the order of [`Class::ALL`].
    pub(crate) fn not_seen_queued_by_class(&self) -> [f64; Class::COUNT] {
        let share = self.own_cpu_share();
        if share == 0.0 {
            return [0.0; Class::COUNT];
        }
        let mut families: HashMap<Option<LocationId>, [f64; Class::COUNT], RandomState> = HashMap::default();
        for sample in &self.samples {
            let times = families.entry(sample.creator).or_default();
            times.get_mut(sample.class(self).index()).into_iter().for_each(|time| *time += sample.time_ns as f64);
        }
        let mut sums = [0.0; Class::COUNT];
        for times in families.values() {
            let (total, queued) = (times.iter().sum(), times[Class::Runnable.index()]);
            for (class, (sum, &part)) in Class::ALL.into_iter().zip(sums.iter_mut().zip(times)) {
                let part_queued = if class == Class::Runnable { part } else { 0.0 };
                *sum += longer(share, &Family { total, queued, part, part_queued });
            }
        }
        sums
    }
}

/// By how much the part becomes longer if what is queued does, in the measure `share`, at the cost of all that there is.
fn longer(share: f64, family: &Family) -> f64 {
    let &Family { total, queued, part, part_queued } = family;
    if total > 0.0 { share * (part_queued - queued * part / total) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Accounting, Builder, SampleKey, Serving, Target};

    /// Two functions started goroutines. Those of the first are queued for a fifth of their time, those of the second never.
    fn profile(own_cpu_ns: u64) -> Profile {
        let mut builder = Builder::new(Target::default(), 0);
        let (stack, labels) = (builder.stack(&[]), builder.labels(&[]));
        let creators = ["first", "second"].map(|name| Some(builder.synthetic(name)));
        for (creator, state, time_ns) in [
            (creators[0], State::Runnable, 200),
            (creators[0], State::Waiting, 800),
            (creators[1], State::Waiting, 5000),
        ] {
            let (wait_reason, serving) = (None, Serving::Unknown);
            builder.add(SampleKey { stack, goid: 1, state, wait_reason, labels, creator, serving }, 10, time_ns);
        }
        builder.finish(1000, Accounting { own_cpu_ns, ticks: 10, ..Accounting::default() })
    }

    #[test]
    fn who_is_queued_may_have_been_for_longer() {
        let profile = profile(100);
        let not_seen = |belongs: &dyn Fn(&Sample) -> bool| profile.not_seen_queued_ns(belongs);
        assert!((not_seen(&|sample| sample.state == State::Runnable) - 0.1 * 200.0 * 0.8).abs() < 1e-9);
        assert!((not_seen(&|sample| sample.state == State::Waiting) + 0.1 * 200.0 * 0.8).abs() < 1e-9);
        for (class, not_seen_of_class) in Class::ALL.into_iter().zip(profile.not_seen_queued_by_class()) {
            assert_eq!(not_seen_of_class, not_seen(&|sample| sample.class(&profile) == class), "{class:?}");
        }
        assert!(not_seen(&|_| true).abs() < 1e-9, "there were no more of them");
        assert_eq!(not_seen(&|sample| sample.time_ns == 5000), 0.0, "they are never queued");
    }

    #[test]
    fn what_costs_nothing_does_nothing() {
        assert_eq!(profile(0).not_seen_queued_ns(&|sample| sample.state == State::Runnable), 0.0);
    }
}
