//! Adds observations up, by everything that tells them apart.

use std::hash::{BuildHasherDefault, Hash};

use fgspy_profile::replicates::ByReplicate;
use fgspy_profile::{Serving, State, Weight};
use indexmap::{IndexMap, IndexSet};
use rustc_hash::FxHasher;

use crate::requests::RouteId;
use crate::samples::{Samples, correct};
use crate::variances::{PassedOver, variances};

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
pub struct RawStackId(u32);

/// Index of a label set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RawLabelsId(u32);

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
    /// Where; `None` where its stack could not be had: [`crate::settle`] finds a place for that.
    pub stack: Option<RawStackId>,
}

/// Index of a [`Cell`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CellId(u32);

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

/// In whole numbers of so many parts is kept how many samples a place stands for: only what is more than another counts.
const PARTS_OF_SAMPLE: f64 = 64.0;

/// Everything that was observed so far.
#[derive(Debug, Default)]
pub(crate) struct Aggregate {
    stacks: IndexSet<RawStack, Hasher>,
    labels: IndexSet<Labels, Hasher>,
    cells: IndexMap<Cell, Estimate, Hasher>,
    times: IndexMap<(u64, CellId), Weight, Hasher>,
    on_cpu: IndexMap<OnCpuPlace, u64, Hasher>,
    /// By the function that goroutines were started with: see [`Aggregate::passed_over`].
    passed_over: IndexMap<u64, PassedOver, Hasher>,
    bytes: usize,
}

impl Aggregate {
    /// Nothing observed yet.
    pub(crate) fn new() -> Aggregate {
        let mut aggregate = Aggregate::default();
        aggregate.labels.insert(Labels::new());
        aggregate
    }

    /// The id of a label set.
    pub(crate) fn labels(&mut self, labels: &Labels) -> RawLabelsId {
        let index = match self.labels.get_index_of(labels) {
            Some(index) => index,
            None => {
                self.bytes += 64 + labels.iter().map(|(key, value)| 48 + key.len() + value.len()).sum::<usize>();
                self.labels.insert_full(labels.clone()).0
            }
        };
        RawLabelsId(index as u32)
    }

    /// The id of a stack.
    pub(crate) fn stack_id(&mut self, stack: RawStack) -> RawStackId {
        let size = 96 + 8 * (stack.kernel.len() + stack.user.len());
        let (index, is_new) = self.stacks.insert_full(stack);
        self.bytes += if is_new { size } else { 0 };
        RawStackId(index as u32)
    }

    /// The id of a cell.
    pub(crate) fn cell(&mut self, cell: Cell) -> CellId {
        let index = match self.cells.get_index_of(&cell) {
            Some(index) => index,
            None => {
                self.bytes += 2 * size_of::<(Cell, Estimate)>();
                self.cells.insert_full(cell, Estimate::default()).0
            }
        };
        CellId(index as u32)
    }

    /// Adds time that a goroutine spent in a cell.
    pub(crate) fn credit(&mut self, goid: u64, cell: CellId, weight: Weight) {
        *self.times.entry((goid, cell)).or_default() += weight;
    }

    /// A cell's time by replicate, to be added to.
    pub(crate) fn by_replicate(&mut self, cell: CellId) -> Option<&mut ByReplicate> {
        self.cells.get_index_mut(cell.index()).map(|(_, estimate)| &mut estimate.by_replicate)
    }

    /// Takes a sample of a goroutine on a CPU, which stands for so many like it.
    pub(crate) fn saw_on_cpu(&mut self, place: OnCpuPlace, count: f64) {
        let parts = self.on_cpu.entry(place).or_default();
        *parts = parts.saturating_add((count * PARTS_OF_SAMPLE) as u64);
    }

    /// Changes a cell's time by an estimate, made at a tick of `replicate`.
    pub(crate) fn correct(&mut self, cell: CellId, ns: f64, replicate: usize) {
        if let Some((_, estimate)) = self.cells.get_index_mut(cell.index()) {
            estimate.correction_ns += ns;
            if let Some(time) = estimate.by_replicate.get_mut(replicate) {
                *time = time.saturating_add(ns as i64);
            }
        }
    }

    /// Makes a cell's time less sure, by `variance` square nanoseconds.
    pub(crate) fn doubt(&mut self, cell: CellId, variance: f64) {
        if let Some((_, estimate)) = self.cells.get_index_mut(cell.index()) {
            estimate.variance += variance;
            estimate.squares += variance * variance;
        }
    }

    /// A goroutine was found to have come to a cell, or to have left it.
    pub(crate) fn moved(&mut self, cell: CellId) {
        if let Some((_, estimate)) = self.cells.get_index_mut(cell.index()) {
            estimate.moves = estimate.moves.saturating_add(1);
        }
    }

    /// A goroutine that was started with the function at `start_pc` was passed over.
    pub(crate) fn passed_over(&mut self, start_pc: u64, this: PassedOver) {
        let all = self.passed_over.entry(start_pc).or_default();
        *all = PassedOver { variance: all.variance.max(this.variance), time_ns: all.time_ns + this.time_ns };
    }

    /// Time in nanoseconds that was credited to goroutines, in each cell.
    pub(crate) fn times(&self) -> impl Iterator<Item = (CellId, u64)> {
        self.times.iter().map(|((_, cell), weight)| (*cell, weight.time_ns))
    }

    /// Whether both may be the same cell: one of them may lack the stack, and the labels and the request that are read with
    /// it. Then the one has not been found wrong by the other.
    pub(crate) fn agree(&self, a: Option<CellId>, b: Option<CellId>) -> bool {
        match (a.and_then(|a| self.at(a)), b.and_then(|b| self.at(b))) {
            (Some(a), Some(b)) => {
                let is_open = a.stack.is_none() || b.stack.is_none();
                let is_unknown = a.serving == Serving::Unknown || b.serving == Serving::Unknown;
                let bare = |cell: Cell| Cell {
                    stack: None,
                    labels: RawLabelsId::default(),
                    serving: if is_unknown { Serving::Unknown } else { cell.serving },
                    ..cell
                };
                a == b || is_open && bare(a) == bare(b)
            }
            (None, None) => true,
            _ => false,
        }
    }

    /// A cell by its id.
    pub(crate) fn at(&self, id: CellId) -> Option<Cell> {
        self.cells.get_index(id.index()).map(|(cell, _)| *cell)
    }

    #[cfg(test)]
    pub(crate) fn estimate(&self, id: CellId) -> Estimate {
        self.cells[id.index()]
    }

    /// About how many bytes of memory this takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
            + self.times.capacity() * size_of::<((u64, CellId), Weight, [usize; 2])>()
            + self.on_cpu.capacity() * size_of::<(OnCpuPlace, u64, [usize; 2])>()
            + self.passed_over.capacity() * size_of::<(u64, PassedOver, [usize; 2])>()
    }

    /// Forgets which goroutine spent which time, but not the time: frees memory where goroutines come and go.
    pub(crate) fn forget_goroutines(&mut self) {
        for ((_, cell), weight) in std::mem::take(&mut self.times) {
            *self.times.entry((0, cell)).or_default() += weight;
        }
        for (place, count) in std::mem::take(&mut self.on_cpu) {
            *self.on_cpu.entry(OnCpuPlace { goid: 0, ..place }).or_default() += count;
        }
    }

    /// Everything that was observed, with what the goroutines that stood still at the end have yet to be credited. The
    /// second is by how many nanoseconds the corrections change the total. `route` says which route a cell's request is of.
    pub(crate) fn finish(
        self,
        standing: impl Iterator<Item = (u64, CellId, Weight)>,
        route: impl Fn(&Cell) -> Option<RouteId>,
    ) -> (Samples, i64) {
        let Aggregate { stacks, labels, cells, times, on_cpu, passed_over, .. } = self;
        let mut samples: Vec<_> = times.into_iter().map(|((goid, cell), weight)| (goid, cell, weight)).collect();
        samples.extend(standing);
        let (cells, estimates): (Vec<Cell>, Vec<Estimate>) = cells.into_iter().unzip();
        let variances = variances(&cells, &estimates, &passed_over);
        let added = correct(&mut samples, &cells, &estimates, &variances, route);
        (
            Samples {
                stacks,
                labels,
                cells: cells.into_iter().collect(),
                replicates: estimates.iter().map(|estimate| estimate.by_replicate).collect(),
                replicate_ns: ByReplicate::default(),
                all: samples,
                on_cpu: on_cpu.into_iter().collect(),
                requests: Vec::new(),
                sightings: Vec::new(),
            },
            added,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_without_its_stack_agrees_with_what_it_may_be() {
        let mut aggregate = Aggregate::new();
        let mut cell = |state, pc: u64| {
            let stack = RawStack { kernel: vec![], user: vec![pc], exact_leaf: false, reach: Reach::Whole };
            let stack = (pc != 0).then(|| aggregate.stack_id(stack));
            let labels = RawLabelsId::default();
            let serving = Serving::Nothing;
            Some(aggregate.cell(Cell { start_pc: 1, go_pc: 2, state, wait_reason: None, labels, serving, stack }))
        };
        let (open, here, there) = (cell(State::Syscall, 0), cell(State::Syscall, 7), cell(State::Syscall, 8));
        let other = cell(State::Waiting, 0);
        assert!(aggregate.agree(open, here) && aggregate.agree(there, open) && aggregate.agree(here, here));
        assert!(!aggregate.agree(here, there) && !aggregate.agree(open, other) && !aggregate.agree(here, other));
        assert!(aggregate.agree(None, None) && !aggregate.agree(None, open) && !aggregate.agree(here, None));
    }
}
