//! What one tick's lots say about the goroutines that were not drawn.

use fgspy_profile::Serving;
use indexmap::IndexMap;

use crate::choose::Odds;
use crate::estimate::{Aggregate, Cell, CellId, Hasher, RawLabelsId, RouteId};
use crate::requests::Requests;

/// Collects what drawn goroutines were found to do other than was known of them, until the tick is over.
///
/// A lot that was drawn with probability p stands for 1/p lots, so what it found beyond what was known counts 1/p times.
/// Once of that is credited directly; the rest is a correction.
#[derive(Debug, Default)]
pub(crate) struct Corrections {
    /// Odds and cell; time found there (or, below 0, not there although it was known to be).
    found: Vec<(Odds, CellId, f64)>,
}

impl Corrections {
    /// Notes that `ns` more than was known were found in a cell.
    pub(crate) fn note(&mut self, odds: Odds, cell: CellId, ns: f64) {
        if odds.whole() < 1.0 {
            self.found.push((odds, cell, ns));
        }
    }

    /// Forgets the tick.
    pub(crate) fn clear(&mut self) {
        self.found.clear();
    }

    /// Adds the tick to what was observed.
    ///
    /// How sure a time is, is known of what profiles add up: all requests of a route that do the same are one in this, so
    /// that who goes from one to the next has changed nothing. The tick belongs to `replicate`.
    ///
    /// The variance is that of sampling in two stages, ticks and lots within them. Where a tick was drawn with probability q,
    /// its lots with p found the differences D, and S is the sum of all D/p, it is (1 − q) S²/q² for the tick and
    /// (1 − p) D²/(p² q) for each lot. (The lots have added (1 − p) D²/p² to S² already, hence not q² there.)
    pub(crate) fn apply(&mut self, aggregate: &mut Aggregate, requests: &mut Requests, replicate: usize) {
        let mut kinds: IndexMap<Kind, CellId, Hasher> = IndexMap::default();
        let mut found: Vec<(usize, Odds, f64)> = Vec::with_capacity(self.found.len());
        for (odds, cell, ns) in self.found.drain(..) {
            aggregate.correct(cell, ns * (1.0 / odds.whole() - 1.0), replicate);
            let kind = kind(aggregate, requests, cell);
            found.push((kinds.insert_full(kind, cell).0, odds, ns));
        }
        found.sort_unstable_by_key(|&(kind, odds, _)| (kind, odds.lot));
        for same_kind in found.chunk_by(|a, b| a.0 == b.0) {
            let Some(&(kind, Odds { of_tick, .. }, _)) = same_kind.first() else { continue };
            let Some((_, &cell)) = kinds.get_index(kind) else { continue };
            let mut of_all = 0.0;
            // Members of a lot stand or fall together, so they are one observation.
            for lot in same_kind.chunk_by(|a, b| a.1.lot == b.1.lot) {
                let p = lot.first().map_or(1.0, |&(_, odds, _)| odds.probability);
                let sum: f64 = lot.iter().map(|&(_, _, ns)| ns).sum();
                aggregate.doubt(cell, sum * sum * (1.0 - p) / (p * p * of_tick));
                of_all += sum / p;
            }
            aggregate.doubt(cell, of_all * of_all * (1.0 - of_tick) / (of_tick * of_tick));
        }
    }
}

/// What is one in how sure its time is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Cell(CellId),
    OfRoute(RouteId, Cell),
}

fn kind(aggregate: &Aggregate, requests: &mut Requests, id: CellId) -> Kind {
    let Some(cell) = aggregate.at(id) else { return Kind::Cell(id) };
    let route = cell.serving.request().and_then(|request| requests.route(request));
    match route {
        Some(route) => Kind::OfRoute(route, Cell { serving: Serving::Unknown, labels: RawLabelsId::default(), ..cell }),
        None => Kind::Cell(id),
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use fgspy_profile::State;

    use super::*;
    use crate::choose::CERTAIN;

    /// Draws the same ticks many times: of each goroutine its lot (0 for the one that is certain if its tick is drawn), and what
    /// it does in a tick beyond what was known.
    #[test]
    fn sums_are_right_on_average_and_so_is_what_is_said_of_their_variance() {
        const TICKS: usize = 200_000;
        const GOROUTINES: [(u32, f64); 6] = [(0, 10.0), (1, 10.0), (1, 10.0), (2, -10.0), (3, 10.0), (3, -10.0)];
        for (of_tick, of_lot) in [(1.0, 0.5), (0.3, 1.0), (0.3, 0.5), (0.1, 0.9)] {
            let mut rng = Rng::with_seed(3);
            let (mut aggregate, mut corrections) = (Aggregate::new(), Corrections::default());
            let cell = aggregate.cell(Cell {
                start_pc: 1,
                go_pc: 2,
                state: State::Running,
                wait_reason: None,
                labels: RawLabelsId::default(),
                serving: Serving::Nothing,
                stack: None,
            });
            let (mut sum, mut squares) = (0.0, 0.0);
            for _ in 0..TICKS {
                let before = aggregate.estimate(cell).correction_ns;
                let mut credited = 0.0;
                if rng.f64() < of_tick {
                    let drawn: [bool; 4] = std::array::from_fn(|lot| lot == 0 || rng.f64() < of_lot);
                    for (lot, ns) in GOROUTINES.into_iter().filter(|(lot, _)| drawn[*lot as usize]) {
                        let probability = if lot == 0 { 1.0 } else { of_lot };
                        corrections.note(Odds { probability, lot, of_tick }, cell, ns);
                        credited += ns;
                    }
                }
                // What is certain whatever was drawn needs no correction.
                corrections.note(CERTAIN, cell, 1000.0);
                corrections.apply(&mut aggregate, &mut Requests::default(), 0);
                let of_this = credited + aggregate.estimate(cell).correction_ns - before;
                sum += of_this;
                squares += of_this * of_this;
            }
            let mean = sum / TICKS as f64;
            let variance = squares / TICKS as f64 - mean * mean;
            let said = aggregate.estimate(cell).variance / TICKS as f64;
            assert!((mean - 20.0).abs() < 4.0 * (variance / TICKS as f64).sqrt(), "{of_tick} {of_lot}: {mean}");
            assert!((said / variance - 1.0).abs() < 0.03, "{of_tick} {of_lot}: {said} instead of {variance}");
        }
    }
}
