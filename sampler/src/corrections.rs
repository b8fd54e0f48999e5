//! What one tick's lots say about the goroutines that were not drawn.

use crate::aggregate::{Aggregate, CellId};
use crate::choose::Odds;

/// Collects what drawn goroutines were found to do other than was known of them, until the tick is over.
///
/// A lot that was drawn with probability p stands for 1/p lots, so what it found beyond what was known counts 1/p times.
/// Once of that is credited directly; the rest is a correction.
#[derive(Debug, Default)]
pub(crate) struct Corrections {
    /// Lot and cell; time found there (or, below 0, not there although it was known to be); odds.
    found: Vec<(u32, CellId, f64, f64)>,
}

impl Corrections {
    /// Notes that `ns` more than was known were found in a cell.
    pub(crate) fn note(&mut self, odds: Odds, cell: CellId, ns: f64) {
        if odds.probability < 1.0 {
            self.found.push((odds.lot, cell, ns, odds.probability));
        }
    }

    /// Forgets the tick.
    pub(crate) fn clear(&mut self) {
        self.found.clear();
    }

    /// Adds the tick to what was observed.
    pub(crate) fn apply(&mut self, aggregate: &mut Aggregate) {
        self.found.sort_unstable_by_key(|&(lot, cell, ..)| (lot, cell));
        for same in self.found.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let Some(&(_, cell, _, odds)) = same.first() else { continue };
            // Members of a lot stand or fall together, so they are one observation.
            let sum: f64 = same.iter().map(|&(_, _, ns, _)| ns).sum();
            aggregate.correct(cell, sum * (1.0 / odds - 1.0), sum * sum * (1.0 - odds) / (odds * odds));
        }
        self.found.clear();
    }
}
