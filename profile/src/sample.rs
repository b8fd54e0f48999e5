//! Where a goroutine was seen, doing what, and the time that stands for.

use serde::{Deserialize, Serialize};

use crate::{LabelSetId, LocationId, Serving, StackId, State, StringId};

/// What a number of observations of one goroutine in one place stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Where.
    pub stack: StackId,
    /// Who.
    pub goid: u64,
    /// What it was doing.
    pub state: State,
    /// The runtime's own word for what it waited for; only for [`State::Waiting`].
    pub wait_reason: Option<StringId>,
    /// The target's `runtime/pprof` labels (set 0 is the empty set).
    pub labels: LabelSetId,
    /// The `go` statement that started the goroutine.
    pub creator: Option<LocationId>,
    /// The request that it served.
    pub serving: Serving,
    /// Observations.
    pub count: u64,
    /// Wall time they stand for, in nanoseconds.
    pub time_ns: u64,
    /// How far [`Sample::time_ns`] is an estimate because not every goroutine was read at every tick: its variance, in
    /// square microseconds, or more where too little was seen to know it, so that 1.96 of its roots to each side are a 95 %
    /// interval. 0 where all that happened was seen.
    pub variance_us2: u64,
}

/// A number of observations, the time they stand for, and how sure that is. Sums saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Observations: ticks at which a goroutine was seen, or is known to have been where it was seen before.
    pub count: u64,
    /// Wall time they stand for, in nanoseconds.
    pub time_ns: u64,
    /// [`Sample::variance_us2`].
    pub variance_us2: u64,
}

impl std::ops::Add for Weight {
    type Output = Weight;

    fn add(self, other: Weight) -> Weight {
        Weight {
            count: self.count.saturating_add(other.count),
            time_ns: self.time_ns.saturating_add(other.time_ns),
            variance_us2: self.variance_us2.saturating_add(other.variance_us2),
        }
    }
}

impl std::ops::AddAssign for Weight {
    fn add_assign(&mut self, other: Weight) {
        *self = *self + other;
    }
}

impl Sample {
    /// Its count, time and variance.
    pub fn weight(&self) -> Weight {
        Weight { count: self.count, time_ns: self.time_ns, variance_us2: self.variance_us2 }
    }

    /// The part of [`Sample::time_ns`] spent on a CPU: all of it or nothing.
    pub fn cpu_ns(&self) -> u64 {
        if self.state == State::Running { self.time_ns } else { 0 }
    }
}

/// Everything about a sample but its count and its time: what agrees here is one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SampleKey {
    /// Where.
    pub stack: StackId,
    /// Who.
    pub goid: u64,
    /// What it was doing.
    pub state: State,
    /// The runtime's own word for what it waited for; only for [`State::Waiting`].
    pub wait_reason: Option<StringId>,
    /// The target's `runtime/pprof` labels.
    pub labels: LabelSetId,
    /// The `go` statement that started the goroutine.
    pub creator: Option<LocationId>,
    /// The request that it served.
    pub serving: Serving,
}

impl SampleKey {
    /// The sample with this key.
    pub fn sample(self, weight: Weight) -> Sample {
        let SampleKey { stack, goid, state, wait_reason, labels, creator, serving } = self;
        let Weight { count, time_ns, variance_us2 } = weight;
        Sample { stack, goid, state, wait_reason, labels, creator, serving, count, time_ns, variance_us2 }
    }
}

impl Sample {
    /// Everything but its weight.
    pub fn key(&self) -> SampleKey {
        let Sample { stack, goid, state, wait_reason, labels, creator, serving, .. } = *self;
        SampleKey { stack, goid, state, wait_reason, labels, creator, serving }
    }
}
