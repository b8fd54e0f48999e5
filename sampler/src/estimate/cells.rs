//! The keys by which observations are added up: stacks, labels, and cells of everything but the goroutine.

use std::hash::{BuildHasherDefault, Hash};

use fgspy_profile::replicates::ByReplicate;
use fgspy_profile::{Serving, State};
use rustc_hash::FxHasher;

pub(crate) type Hasher = BuildHasherDefault<FxHasher>;

/// A stack as it was read, not yet looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RawStack {
    /// Kernel program counters, leaf first.
    pub kernel: Vec<u64>,
    /// The target's program counters, leaf first.
    pub user: Vec<u64>,
    /// The first of `user` is the instruction being executed, not a return address.
    pub exact_leaf: bool,
    /// How far it goes.
    pub reach: Reach,
}

/// How far a stack goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// To its root.
    Whole,
    /// It is deeper than what is kept of a stack.
    Cut,
    /// Its goroutine went on before the rest of it was read.
    Begun,
    /// From where the goroutine left its own stack, for its thread's or for C, to its root: where it computes is not in it.
    Left,
    /// It cannot be read: part of it is not mapped, or what is there is no stack. There are no frames.
    Unreadable,
}

impl RawStack {
    /// Whether it says where a goroutine was.
    pub(crate) fn is_read(&self) -> bool {
        self.reach != Reach::Unreadable
    }
}

/// Index of a [`RawStack`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RawStackId(pub(crate) u32);

/// Index of a label set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RawLabelsId(pub(crate) u32);

/// Everything about an observation but whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cell {
    /// Entry of the function that the goroutine was started with.
    pub start_pc: u64,
    /// Return address of the `go` statement.
    pub go_pc: u64,
    /// What it was doing.
    pub state: State,
    /// Index of the runtime's wait reason; only for [`State::Waiting`].
    pub wait_reason: Option<u8>,
    /// Its labels.
    pub labels: RawLabelsId,
    /// For which request.
    pub serving: Serving,
    /// Where; `None` where its stack could not be had: [`settle`](crate::settle()) finds a place for that.
    pub stack: Option<RawStackId>,
}

/// Index of a [`Cell`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CellId(pub(crate) u32);

impl RawStackId {
    #[cfg(test)]
    pub(crate) const fn new(index: usize) -> RawStackId {
        RawStackId(index as u32)
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl RawLabelsId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl CellId {
    pub(crate) const fn new(index: usize) -> CellId {
        CellId(index as u32)
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where the kernel saw a goroutine run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct OnCpuPlace {
    /// 0 when it is not known which goroutine it was.
    pub(crate) goid: u64,
    /// Entry of the function that it was started with.
    pub(crate) start_pc: u64,
    /// What it served at that moment.
    pub(crate) whose: Whose,
    /// Its labels at that moment; `None` if they are not known.
    pub(crate) labels: Option<RawLabelsId>,
    pub(crate) stack: RawStackId,
}

/// What a goroutine served when the kernel saw it run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Whose {
    Serving(Serving),
    /// A request of this route that was not seen at any tick.
    OfRoute(RouteId),
}

/// Pairs of key and value.
pub type Labels = Vec<(String, String)>;

/// What is known of a cell's time beyond what was credited to goroutines.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Estimate {
    /// What goroutines that were not read are taken to have spent there, or not to have; in nanoseconds.
    pub(crate) correction_ns: f64,
    /// In square nanoseconds.
    pub(crate) variance: f64,
    /// Sum of the squares of what `variance` is the sum of.
    pub(crate) squares: f64,
    /// How often a goroutine was found to have come here, or to have left.
    pub(crate) moves: u64,
    /// What was credited, and the correction, by the replicates of the ticks at which it was seen.
    pub(crate) by_replicate: ByReplicate,
}

/// The route of a request, by its number in a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RouteId(pub(crate) u32);
