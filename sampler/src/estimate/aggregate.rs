//! Adds observations up, by everything that tells them apart.

use fgspy_profile::replicates::ByReplicate;
use fgspy_profile::{Serving, Weight};
use indexmap::{IndexMap, IndexSet};

use crate::estimate::{
    Cell, CellId, Estimate, Hasher, Labels, OnCpuPlace, PassedOver, RawLabelsId, RawStack, RawStackId, RouteId,
    Samples, correct, variances,
};

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
    use fgspy_profile::State;

    use super::*;
    use crate::estimate::Reach;

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
