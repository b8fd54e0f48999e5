//! Adds observations up, by everything that tells them apart.

use std::hash::{BuildHasherDefault, Hash};

use fgspy_profile::{State, Weight};
use indexmap::{IndexMap, IndexSet};
use rustc_hash::FxHasher;

type Hasher = BuildHasherDefault<FxHasher>;

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
    /// Where; `None` where its stack could not be had: [`crate::settle`] finds a place for that.
    pub stack: Option<RawStackId>,
}

/// Index of a [`Cell`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CellId(u32);

/// Pairs of key and value.
pub type Labels = Vec<(String, String)>;

/// What is known of a cell's time beyond what was credited to goroutines.
#[derive(Clone, Copy, Debug, Default)]
struct Estimate {
    /// What goroutines that were not read are taken to have spent there, or not to have; in nanoseconds.
    correction_ns: f64,
    /// In square nanoseconds.
    variance: f64,
}

/// A cell whose corrections are being given to its goroutines.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    /// Nanoseconds credited to its goroutines.
    credited: u128,
    is_corrected: bool,
    /// What they shall have in nanoseconds, and its variance.
    target: f64,
    variance: f64,
    /// Of what was credited, that of the goroutines that have been dealt with; and what they were given.
    seen: u128,
    given: u64,
    given_variance: u64,
}

/// Everything that was observed so far.
#[derive(Debug, Default)]
pub struct Aggregate {
    stacks: IndexSet<RawStack, Hasher>,
    labels: IndexSet<Labels, Hasher>,
    cells: IndexMap<Cell, Estimate, Hasher>,
    times: IndexMap<(u64, CellId), Weight, Hasher>,
    bytes: usize,
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
            None => {
                self.bytes += 64 + labels.iter().map(|(key, value)| 48 + key.len() + value.len()).sum::<usize>();
                self.labels.insert_full(labels.clone()).0
            }
        };
        RawLabelsId(index as u32)
    }

    /// The id of a stack.
    pub fn stack_id(&mut self, stack: RawStack) -> RawStackId {
        let size = 96 + 8 * (stack.kernel.len() + stack.user.len());
        let (index, is_new) = self.stacks.insert_full(stack);
        self.bytes += if is_new { size } else { 0 };
        RawStackId(index as u32)
    }

    /// The id of a cell.
    pub fn cell(&mut self, cell: Cell) -> CellId {
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
    pub fn credit(&mut self, goid: u64, cell: CellId, count: u64, time_ns: u64) {
        *self.times.entry((goid, cell)).or_default() += Weight { count, time_ns, variance_us2: 0 };
    }

    /// Changes a cell's time by an estimate, whose variance is `variance` square nanoseconds.
    pub fn correct(&mut self, cell: CellId, ns: f64, variance: f64) {
        if let Some((_, estimate)) = self.cells.get_index_mut(cell.0 as usize) {
            estimate.correction_ns += ns;
            estimate.variance += variance;
        }
    }

    /// About how many bytes of memory this takes.
    pub fn bytes(&self) -> usize {
        self.bytes + self.times.capacity() * size_of::<((u64, CellId), Weight, [usize; 2])>()
    }

    /// Forgets which goroutine spent which time, but not the time: frees memory where goroutines come and go.
    pub fn forget_goroutines(&mut self) {
        for ((_, cell), weight) in std::mem::take(&mut self.times) {
            *self.times.entry((0, cell)).or_default() += weight;
        }
    }

    /// Gives the corrections of each cell to the goroutines that were seen in it, in proportion to their time there. Done
    /// once, at the end; returns the nanoseconds that this adds to the total.
    ///
    /// A cell cannot have less than no time. What could not be taken away from one is taken from all others, so that the
    /// total stays what it was estimated to be.
    pub fn apply_corrections(&mut self) -> i64 {
        let mut shares = vec![Share::default(); self.cells.len()];
        for ((_, cell), weight) in &self.times {
            shares[cell.0 as usize].credited += u128::from(weight.time_ns);
        }
        let (mut estimated, mut possible) = (0.0, 0.0);
        for (share, estimate) in shares.iter_mut().zip(self.cells.values_mut()) {
            let Estimate { correction_ns, variance } = std::mem::take(estimate);
            let corrected = share.credited as f64 + correction_ns;
            (share.is_corrected, share.target, share.variance) = (correction_ns != 0.0, corrected.max(0.0), variance);
            estimated += corrected;
            possible += corrected.max(0.0);
        }
        let factor = if estimated < possible { (estimated / possible).max(0.0) } else { 1.0 };
        let mut added = 0i128;
        for ((_, cell), weight) in &mut self.times {
            let share = &mut shares[cell.0 as usize];
            if factor == 1.0 && !share.is_corrected || share.credited == 0 {
                continue;
            }
            // Rounding the running sum, not each part, leaves nothing over.
            share.seen += u128::from(weight.time_ns);
            let part = share.seen as f64 / share.credited as f64;
            let up_to = |whole: f64| (whole * part).round() as u64;
            let (time, variance) = (up_to(share.target * factor), up_to(share.variance / 1e6));
            added += i128::from(time - share.given) - i128::from(weight.time_ns);
            (weight.time_ns, weight.variance_us2) = (time - share.given, variance - share.given_variance);
            (share.given, share.given_variance) = (time, variance);
        }
        added as i64
    }

    /// Samples so far: distinct goroutine and cell.
    pub fn samples(&self) -> impl Iterator<Item = (u64, Cell, Weight)> + '_ {
        self.times.iter().filter_map(|(&(goid, cell), &weight)| Some((goid, self.at(cell)?, weight)))
    }

    /// A cell by its id.
    pub fn at(&self, id: CellId) -> Option<Cell> {
        self.cells.get_index(id.0 as usize).map(|(cell, _)| *cell)
    }

    /// A stack by its id.
    pub fn stack(&self, id: RawStackId) -> Option<&RawStack> {
        self.stacks.get_index(id.0 as usize)
    }

    /// A label set by its id.
    pub fn label_set(&self, id: RawLabelsId) -> Option<&Labels> {
        self.labels.get_index(id.0 as usize)
    }

    /// Takes out the samples without a stack: [`crate::settle`] puts them back in their place.
    pub(crate) fn take_unplaced(&mut self) -> Vec<(u64, Cell, Weight)> {
        let cells = &self.cells;
        let cell = |id: CellId| cells.get_index(id.0 as usize).map(|(cell, _)| *cell);
        let mut unplaced = Vec::new();
        self.times.retain(|&(goid, id), weight| match cell(id) {
            Some(cell) if cell.stack.is_none() => {
                unplaced.push((goid, cell, *weight));
                false
            }
            _ => true,
        });
        unplaced
    }

    /// Adds to a cell.
    pub(crate) fn add(&mut self, goid: u64, cell: Cell, weight: Weight) {
        let cell = self.cell(cell);
        *self.times.entry((goid, cell)).or_default() += weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(aggregate: &mut Aggregate, start_pc: u64) -> CellId {
        let state = State::Waiting;
        let labels = RawLabelsId::default();
        aggregate.cell(Cell { start_pc, go_pc: 0, state, wait_reason: None, labels, stack: None })
    }

    fn times(aggregate: &Aggregate) -> Vec<(u64, u64, u64)> {
        aggregate.samples().map(|(goid, cell, weight)| (goid, cell.start_pc, weight.time_ns)).collect()
    }

    #[test]
    fn corrections_go_to_those_seen_there_in_proportion_and_add_up() {
        let mut aggregate = Aggregate::new();
        let (a, b) = (cell(&mut aggregate, 10), cell(&mut aggregate, 20));
        aggregate.credit(1, a, 1, 100);
        aggregate.credit(2, a, 1, 200);
        aggregate.credit(3, b, 1, 50);
        aggregate.correct(a, -31.0, 9e6);
        aggregate.correct(b, 31.0, 9e6);
        assert_eq!(aggregate.apply_corrections(), 0);
        assert_eq!(times(&aggregate), [(1, 10, 90), (2, 10, 179), (3, 20, 81)]);
        let variances: Vec<u64> = aggregate.samples().map(|(.., weight)| weight.variance_us2).collect();
        assert_eq!(variances, [3, 6, 9]);
    }

    #[test]
    fn no_cell_has_less_than_no_time_and_the_total_is_kept() {
        let mut aggregate = Aggregate::new();
        let (a, b) = (cell(&mut aggregate, 10), cell(&mut aggregate, 20));
        aggregate.credit(1, a, 1, 100);
        aggregate.credit(2, b, 1, 1000);
        aggregate.correct(a, -300.0, 0.0);
        aggregate.correct(b, 300.0, 0.0);
        assert_eq!(aggregate.apply_corrections(), 0);
        assert_eq!(times(&aggregate), [(1, 10, 0), (2, 20, 1100)]);
    }

    #[test]
    fn what_was_not_corrected_is_exact() {
        let mut aggregate = Aggregate::new();
        let a = cell(&mut aggregate, 10);
        aggregate.credit(1, a, 1, u64::MAX / 2 - 1);
        assert_eq!(aggregate.apply_corrections(), 0);
        assert_eq!(times(&aggregate), [(1, 10, u64::MAX / 2 - 1)]);
    }
}
