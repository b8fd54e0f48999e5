//! Adds observations up, by everything that tells them apart.

use std::hash::{BuildHasherDefault, Hash};

use fgspy_profile::State;
use indexmap::{IndexMap, IndexSet};
use rustc_hash::FxHasher;

type Hasher = BuildHasherDefault<FxHasher>;

/// Number and time of a set of observations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Observations.
    pub count: u64,
    /// Wall time they stand for, in nanoseconds.
    pub time_ns: u64,
}

impl Weight {
    fn add(&mut self, other: Weight) {
        self.count = self.count.saturating_add(other.count);
        self.time_ns = self.time_ns.saturating_add(other.time_ns);
    }
}

/// A stack as it was read, not yet looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RawStack {
    /// Kernel program counters, leaf first.
    pub kernel: Vec<u64>,
    /// The target's program counters, leaf first.
    pub user: Vec<u64>,
    /// The first of `user` is the instruction being executed, not a return address.
    pub exact_leaf: bool,
    /// Frames at the root are missing.
    pub cut: bool,
}

/// Index of a [`RawStack`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RawStackId(u32);

/// Index of a label set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RawLabelsId(u32);

/// Whose observation, and of what kind: everything about it but its stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Who {
    /// Goroutine id.
    pub goid: u64,
    /// Entry of the function it was started with.
    pub start_pc: u64,
    /// Return address of the `go` statement.
    pub go_pc: u64,
    /// What it was doing.
    pub state: State,
    /// Index of the runtime's wait reason; only for [`State::Waiting`].
    pub wait_reason: Option<u8>,
    /// Its labels.
    pub labels: RawLabelsId,
}

/// Pairs of key and value.
pub type Labels = Vec<(String, String)>;

/// Everything that was observed so far.
#[derive(Debug, Default)]
pub struct Aggregate {
    stacks: IndexSet<RawStack, Hasher>,
    labels: IndexSet<Labels, Hasher>,
    samples: IndexMap<(Who, RawStackId), Weight, Hasher>,
    unplaced: IndexMap<Who, Weight, Hasher>,
}

impl Aggregate {
    /// Nothing observed yet.
    pub fn new() -> Aggregate {
        let mut aggregate = Aggregate::default();
        aggregate.labels.insert(Labels::new());
        aggregate
    }

    /// The id of a label set.
    pub fn labels(&mut self, labels: &Labels) -> RawLabelsId {
        let index = match self.labels.get_index_of(labels) {
            Some(index) => index,
            None => self.labels.insert_full(labels.clone()).0,
        };
        RawLabelsId(index as u32)
    }

    /// Adds an observation whose stack is known.
    pub fn add(&mut self, who: Who, stack: RawStack, weight: Weight) {
        let stack = RawStackId(self.stacks.insert_full(stack).0 as u32);
        self.samples.entry((who, stack)).or_default().add(weight);
    }

    /// Adds an observation whose stack could not be had; [`crate::settle`] gives it its place.
    pub fn add_unplaced(&mut self, who: Who, weight: Weight) {
        self.unplaced.entry(who).or_default().add(weight);
    }

    /// Samples so far: distinct goroutine, kind and stack.
    pub fn samples(&self) -> impl Iterator<Item = (Who, RawStackId, Weight)> + '_ {
        self.samples.iter().map(|(&(who, stack), &weight)| (who, stack, weight))
    }

    /// A stack by its id.
    pub fn stack(&self, id: RawStackId) -> Option<&RawStack> {
        self.stacks.get_index(id.0 as usize)
    }

    /// A label set by its id.
    pub fn label_set(&self, id: RawLabelsId) -> Option<&Labels> {
        self.labels.get_index(id.0 as usize)
    }

    /// Observations without a stack, which leave the aggregate: [`crate::settle`] puts them back in their place.
    pub(crate) fn take_unplaced(&mut self) -> Vec<(Who, Weight)> {
        std::mem::take(&mut self.unplaced).into_iter().collect()
    }

    pub(crate) fn add_to(&mut self, who: Who, stack: RawStackId, weight: Weight) {
        self.samples.entry((who, stack)).or_default().add(weight);
    }
}
