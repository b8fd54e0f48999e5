//! How sure the time of each cell is, where not every goroutine was read at every tick.
//!
//! The variance of a cell is estimated from what lots found there ([`crate::estimate`]). Where they found little, that says
//! little: a cell of which a lot should have found three things, and found none, would seem exact. So three things are done.
//!
//! A variance that comes of few parts is made greater by Student's factor. A cell has at least its part of the variance of all
//! goroutines that were started with the same function, by how often these came to it and left it: many cells that are
//! alike know better than one of them what lots find. And where goroutines were found where they had been, but had run at ticks
//! at which they were passed over, they may have been elsewhere meanwhile: then what could have been missed counts too.

use fgspy_profile::quantiles::{Z_95, student};
use indexmap::IndexMap;

use crate::estimate::{Cell, Estimate, Hasher};

/// Who saw nothing of a kind in independent lots knows, at 95 %, that no more than so many were to be expected: −ln 0.05.
const NONE_SEEN: f64 = 3.0;
/// From so many degrees of freedom on a variance is known well enough by itself: to a third.
const ENOUGH: f64 = 20.0;

/// Goroutines ran at ticks at which they were not read, and were found where they had been before. They may have been elsewhere
/// meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PassedOver {
    /// What a reading adds to the variance that finds one of them elsewhere, in square nanoseconds; the most of all readings.
    pub(crate) variance: f64,
    /// For how long nobody looked, in nanoseconds of all of them: so much at most was spent elsewhere.
    pub(crate) time_ns: f64,
}

/// What is known of all goroutines that were started with one function.
#[derive(Clone, Copy, Default)]
struct Family {
    variance: f64,
    moves: f64,
}

/// The variance of each cell's time, in square nanoseconds, such that 1.96 of its roots to each side are a 95 % interval.
///
/// `passed_over` is by the function that goroutines were started with.
pub(crate) fn variances(
    cells: &[Cell],
    estimates: &[Estimate],
    passed_over: &IndexMap<u64, PassedOver, Hasher>,
) -> Vec<f64> {
    let mut families: IndexMap<u64, Family, Hasher> = IndexMap::default();
    for (cell, estimate) in cells.iter().zip(estimates) {
        let family = families.entry(cell.start_pc).or_default();
        family.variance += estimate.variance;
        family.moves += estimate.moves as f64;
    }
    for (start_pc, family) in &mut families {
        // Each that is found adds this to two cells, the one where it was not and the one where it was.
        let PassedOver { variance, time_ns } = passed_over.get(start_pc).copied().unwrap_or_default();
        let unseen_ns = (NONE_SEEN * variance.sqrt()).min(time_ns);
        family.variance += 2.0 * (unseen_ns / Z_95).powi(2);
    }
    let of_cell = |(cell, estimate): (&Cell, &Estimate)| {
        let own = with_students_factor(estimate);
        match families.get(&cell.start_pc) {
            Some(family) if estimate.moves > 0 && degrees(estimate) < ENOUGH => {
                // It may have had that many more moves that were not seen.
                let part = (estimate.moves as f64 + NONE_SEEN) / family.moves;
                own.max(family.variance * part.min(1.0))
            }
            _ => own,
        }
    };
    cells.iter().zip(estimates).map(of_cell).collect()
}

/// What is known of a variance V as a sum of parts v is worth 2 V²/Σv² degrees of freedom (F. E. Satterthwaite, An
/// approximate distribution of estimates of variance components, 1946).
fn degrees(estimate: &Estimate) -> f64 {
    if estimate.squares > 0.0 { 2.0 * estimate.variance * estimate.variance / estimate.squares } else { 0.0 }
}

/// The variance, made greater where it is itself known from a few lots only: by Student's factor, for 2 degrees of freedom at
/// least.
fn with_students_factor(estimate: &Estimate) -> f64 {
    if estimate.squares <= 0.0 {
        return estimate.variance;
    }
    estimate.variance * (student(Z_95, degrees(estimate).max(2.0)) / Z_95).powi(2)
}

#[cfg(test)]
mod tests {
    use fgspy_profile::{Serving, State};

    use super::*;
    use crate::estimate::RawLabelsId;

    fn cell(start_pc: u64, state: State) -> Cell {
        let labels = RawLabelsId::default();
        Cell { start_pc, go_pc: 2, state, wait_reason: None, labels, serving: Serving::Nothing, stack: None }
    }

    /// A cell whose lots found these parts of its variance, and which goroutines came to or left so often.
    fn estimate(parts: &[f64], moves: u64) -> Estimate {
        let (variance, squares) = (parts.iter().sum(), parts.iter().map(|part| part * part).sum());
        Estimate { variance, squares, moves, ..Estimate::default() }
    }

    #[test]
    fn a_variance_of_few_lots_is_itself_unsure() {
        let of = |lots: &[f64]| with_students_factor(&estimate(lots, 0));
        assert_eq!(of(&[]), 0.0);
        assert!((4.5..4.9).contains(&of(&[1.0])), "{}", of(&[1.0]));
        assert!((1.0..1.01).contains(&(of(&[1.0; 1000]) / 1000.0)));
        assert!(of(&[1000.0, 1.0]) > 4.5 * 1001.0, "one lot says nearly all");
    }

    #[test]
    fn where_lots_found_nothing_the_family_knows() {
        let cells = [State::Running, State::Runnable, State::Waiting].map(|state| cell(1, state));
        let estimates = [estimate(&[1.0; 100], 300), estimate(&[], 100), estimate(&[], 0)];
        let found = variances(&cells, &estimates, &IndexMap::default());
        assert!((100.0..103.0).contains(&found[0]), "known well enough by itself: {found:?}");
        assert_eq!(found[1..], [25.75, 0.0], "who never moved is where it is");
        let other = [cell(2, State::Running), cells[1]];
        assert_eq!(variances(&other, &estimates[..2], &IndexMap::default())[1], 0.0);
    }

    #[test]
    fn who_was_passed_over_may_have_been_elsewhere() {
        let cells = [State::Running, State::Waiting].map(|state| cell(1, state));
        for (time_ns, unseen_ns) in [(100.0, 9.0), (5.0, 5.0)] {
            let passed_over = IndexMap::from_iter([(1, PassedOver { variance: 9.0, time_ns })]);
            let found = variances(&cells, &[estimate(&[], 5), estimate(&[], 5)], &passed_over);
            for variance in found {
                assert!((1.96 * variance.sqrt() - unseen_ns * (2.0 * 0.8f64).sqrt()).abs() < 1e-9, "{variance}");
            }
            assert_eq!(variances(&cells, &[estimate(&[], 0); 2], &passed_over), [0.0, 0.0]);
        }
    }
}
