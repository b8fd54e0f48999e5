//! Sums over the samples of a profile. All saturate.

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use crate::{Class, Profile, Sample, SampleKey, State, Weight};

impl Profile {
    /// Wall time of all samples, in nanoseconds: the goroutines × the time they were there.
    pub fn total_time(&self) -> u64 {
        self.samples.iter().fold(0u64, |sum, sample| sum.saturating_add(sample.time_ns))
    }

    /// Nanoseconds in each state, in the order of [`State::ALL`].
    pub fn by_state(&self) -> [(State, u64); State::ALL.len()] {
        let mut sums = State::ALL.map(|state| (state, 0u64));
        for sample in &self.samples {
            for (_, sum) in sums.iter_mut().filter(|(state, _)| *state == sample.state) {
                *sum = sum.saturating_add(sample.time_ns);
            }
        }
        sums
    }

    /// Nanoseconds in each class, in the order of [`Class::ALL`].
    pub fn by_class(&self) -> [(Class, u64); Class::COUNT] {
        let mut sums = Class::ALL.map(|class| (class, 0u64));
        for sample in &self.samples {
            if let Some((_, sum)) = sums.get_mut(sample.class(self).index()) {
                *sum = sum.saturating_add(sample.time_ns);
            }
        }
        sums
    }

    /// How many different goroutines were seen.
    pub fn goroutines(&self) -> usize {
        self.by_goroutine().chunk_by(|a, b| self.goid(*a) == self.goid(*b)).count()
    }

    /// Indices of all samples, those of one goroutine next to each other.
    pub(crate) fn by_goroutine(&self) -> Vec<u32> {
        let mut indices: Vec<u32> = (0..self.samples.len() as u32).collect();
        indices.sort_unstable_by_key(|&index| self.goid(index));
        indices
    }

    pub(crate) fn goid(&self, index: u32) -> Option<u64> {
        self.samples.get(index as usize).map(|sample| sample.goid)
    }

    /// How many goroutines there were on average: [`Profile::total_time`] ÷ duration; 0 for a profile without duration.
    pub fn average_goroutines(&self) -> f64 {
        if self.duration_ns == 0 { 0.0 } else { self.total_time() as f64 / self.duration_ns as f64 }
    }

    /// The samples without regard to which goroutine they are of and where it was started: those that then agree are
    /// one, with goroutine id 0 and no creator. In order of first appearance.
    pub fn without_goroutines(&self) -> Vec<Sample> {
        self.samples_by(|sample| SampleKey { goid: 0, creator: None, ..sample.key() })
    }

    /// The samples with other keys: those that then agree are one. In order of first appearance.
    pub fn samples_by(&self, mut key: impl FnMut(&Sample) -> SampleKey) -> Vec<Sample> {
        let mut sums: IndexMap<SampleKey, Weight, RandomState> = IndexMap::default();
        for sample in &self.samples {
            *sums.entry(key(sample)).or_default() += sample.weight();
        }
        sums.into_iter().map(|(key, weight)| key.sample(weight)).collect()
    }
}
