//! What one tick's lots say about the goroutines that were not drawn.

use fgspy_profile::Serving;
use indexmap::IndexMap;

use crate::aggregate::{Aggregate, Cell, CellId, Hasher, RawLabelsId};
use crate::balance::RouteId;
use crate::choose::Odds;
use crate::requests::Requests;

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
    ///
    /// How sure a time is, is known of what profiles add up: all requests of a route that do the same are one in this, so
    /// that who goes from one to the next has changed nothing. The tick belongs to `replicate`.
    pub(crate) fn apply(&mut self, aggregate: &mut Aggregate, requests: &mut Requests, replicate: usize) {
        let mut kinds: IndexMap<Kind, CellId, Hasher> = IndexMap::default();
        let mut found: Vec<(u32, usize, f64, f64)> = Vec::with_capacity(self.found.len());
        for (lot, cell, ns, odds) in self.found.drain(..) {
            aggregate.correct(cell, ns * (1.0 / odds - 1.0), replicate);
            let kind = kind(aggregate, requests, cell);
            found.push((lot, kinds.insert_full(kind, cell).0, ns, odds));
        }
        found.sort_unstable_by_key(|&(lot, kind, ..)| (lot, kind));
        for same in found.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let Some(&(_, kind, _, odds)) = same.first() else { continue };
            // Members of a lot stand or fall together, so they are one observation.
            let sum: f64 = same.iter().map(|&(_, _, ns, _)| ns).sum();
            if let Some((_, &cell)) = kinds.get_index(kind) {
                aggregate.doubt(cell, sum * sum * (1.0 - odds) / (odds * odds));
            }
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
