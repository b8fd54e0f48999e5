//! What was observed, when the recording is over.

use fgspy_profile::Weight;
use indexmap::IndexSet;

use crate::aggregate::{Cell, CellId, Estimate, Hasher, Labels, OnCpuPlace, RawLabelsId, RawStack, RawStackId};
use crate::requests::Seen;

/// Who spent how much time where.
#[derive(Debug, Default)]
pub struct Samples {
    pub(crate) stacks: IndexSet<RawStack, Hasher>,
    pub(crate) labels: IndexSet<Labels, Hasher>,
    pub(crate) cells: IndexSet<Cell, Hasher>,
    /// Goroutine, cell and weight; the same goroutine and cell may be there several times.
    pub(crate) all: Vec<(u64, CellId, Weight)>,
    /// Where the kernel saw goroutines compute, and how often.
    pub(crate) on_cpu: Vec<(OnCpuPlace, u64)>,
    /// The requests that were seen, by their number.
    pub(crate) requests: Vec<Seen>,
}

impl Samples {
    /// A cell by its id.
    pub fn at(&self, id: CellId) -> Option<Cell> {
        self.cells.get_index(id.index()).copied()
    }

    /// A stack by its id.
    pub fn stack(&self, id: RawStackId) -> Option<&RawStack> {
        self.stacks.get_index(id.index())
    }

    /// A label set by its id.
    pub fn label_set(&self, id: RawLabelsId) -> Option<&Labels> {
        self.labels.get_index(id.index())
    }

    /// The id of a cell.
    pub(crate) fn cell(&mut self, cell: Cell) -> CellId {
        CellId::new(self.cells.insert_full(cell).0)
    }
}

/// A cell whose correction is being given to its goroutines.
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

/// Gives the correction of each cell to the goroutines that were seen in it, in proportion to their time there. Returns
/// the nanoseconds that this adds to the total.
///
/// A cell cannot have less than no time. What could not be taken away from one is taken from all others, so that the
/// total stays what it was estimated to be.
pub(crate) fn correct(samples: &mut [(u64, CellId, Weight)], estimates: &[Estimate]) -> i64 {
    let mut shares = vec![Share::default(); estimates.len()];
    for (_, cell, weight) in samples.iter() {
        if let Some(share) = shares.get_mut(cell.index()) {
            share.credited += u128::from(weight.time_ns);
        }
    }
    let (mut estimated, mut possible) = (0.0, 0.0);
    for (share, estimate) in shares.iter_mut().zip(estimates) {
        let corrected = share.credited as f64 + estimate.correction_ns;
        share.is_corrected = estimate.correction_ns != 0.0;
        (share.target, share.variance) = (corrected.max(0.0), estimate.variance);
        estimated += corrected;
        possible += corrected.max(0.0);
    }
    let factor = if estimated < possible { (estimated / possible).max(0.0) } else { 1.0 };
    let mut added = 0i128;
    for (_, cell, weight) in samples {
        let Some(share) = shares.get_mut(cell.index()) else { continue };
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

#[cfg(test)]
mod tests {
    use super::*;

    const A: CellId = CellId::new(0);
    const B: CellId = CellId::new(1);

    fn sample(goid: u64, cell: CellId, time_ns: u64) -> (u64, CellId, Weight) {
        (goid, cell, Weight { count: 1, time_ns, variance_us2: 0 })
    }

    fn estimate(correction_ns: f64, variance: f64) -> Estimate {
        Estimate { correction_ns, variance }
    }

    fn times(samples: &[(u64, CellId, Weight)]) -> Vec<(u64, u64)> {
        samples.iter().map(|(_, _, weight)| (weight.time_ns, weight.variance_us2)).collect()
    }

    #[test]
    fn corrections_go_to_those_seen_there_in_proportion_and_add_up() {
        let mut samples = [sample(1, A, 100), sample(2, A, 200), sample(3, B, 50)];
        assert_eq!(correct(&mut samples, &[estimate(-31.0, 9e6), estimate(31.0, 9e6)]), 0);
        assert_eq!(times(&samples), [(90, 3), (179, 6), (81, 9)]);
        assert_eq!(correct(&mut samples, &[estimate(0.0, 0.0), estimate(-11.0, 0.0)]), -11);
        assert_eq!(times(&samples), [(90, 3), (179, 6), (70, 0)]);
    }

    #[test]
    fn no_cell_has_less_than_no_time_and_the_total_is_kept() {
        let mut samples = [sample(1, A, 100), sample(2, B, 1000)];
        assert_eq!(correct(&mut samples, &[estimate(-300.0, 0.0), estimate(300.0, 0.0)]), 0);
        assert_eq!(times(&samples), [(0, 0), (1100, 0)]);
    }

    #[test]
    fn what_was_not_corrected_is_exact() {
        let mut samples = [sample(1, A, u64::MAX / 2 - 1)];
        assert_eq!(correct(&mut samples, &[estimate(0.0, 0.0)]), 0);
        assert_eq!(times(&samples), [(u64::MAX / 2 - 1, 0)]);
    }
}
