//! What the outcomes say together, and when they say that fgspy is wrong.

use super::cell::Cell;
use super::statistics::{Mean, mean, wilson};

/// Recordings of cells whose interval contains the truth, of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Coverage {
    pub(super) covered: u64,
    pub(super) of: u64,
}

/// How many intervals contain the truth.
pub(super) fn coverage<'a>(cells: impl Iterator<Item = &'a Cell>) -> Coverage {
    cells.filter(|cell| !cell.is_rare()).fold(Coverage { covered: 0, of: 0 }, |sum, cell| Coverage {
        covered: sum.covered + cell.covered(),
        of: sum.of + cell.outcomes.len() as u64,
    })
}

/// The mean over recordings of (estimate − truth) ÷ standard error, each the mean over the cells that are not rare: cells of
/// one recording depend on each other, recordings do not.
pub(super) fn bias(cells: &[Cell]) -> Option<Mean> {
    let judged: Vec<&Cell> = cells.iter().filter(|cell| !cell.is_rare()).collect();
    let recordings = judged.iter().map(|cell| cell.outcomes.len()).min()?;
    let of_recording = |index: usize| {
        let scores: Vec<f64> = judged.iter().filter_map(|cell| cell.outcomes.get(index)?.score()).collect();
        (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
    };
    mean(&(0..recordings).filter_map(of_recording).collect::<Vec<_>>())
}

/// The cell that is off the most, for the number of its recordings.
pub(super) fn worst(cells: &[Cell]) -> Option<&Cell> {
    let judged = cells.iter().filter(|cell| !cell.is_rare());
    judged.max_by(|a, b| a.total_score().abs().total_cmp(&b.total_score().abs()))
}

/// How improbable chance must be before something is called wrong: some thirty times two tests in a run, and a hundred cells.
/// The first is 99.9 % for all cells of a program together, the second 99.999 % for one cell.
const TOO_FEW_COVERED: f64 = 3.29;
const TOO_FAR_OFF: f64 = 4.42;

/// What is wrong with these cells beyond chance.
pub(super) fn wrong(cells: &[Cell]) -> Vec<String> {
    let mut wrong = Vec::new();
    let Coverage { covered, of } = coverage(cells.iter());
    if of > 0 && wilson(covered, of, TOO_FEW_COVERED).1 < 0.95 {
        wrong.push(format!("only {covered} of {of} intervals contain the truth"));
    }
    for cell in cells.iter().filter(|cell| !cell.is_rare()) {
        let score = cell.total_score();
        if score.abs() > TOO_FAR_OFF {
            let bias = cell.bias().map_or(0.0, |bias| bias.mean);
            wrong.push(format!("{} is off by {:+.2} %, {score:+.1} standard errors", cell.name, 100.0 * bias));
        }
        let sure_and_wrong = cell.outcomes.iter().filter(|outcome| outcome.error_ns == 0.0 && !outcome.covered());
        match sure_and_wrong.count() {
            0 => {}
            n => wrong.push(format!("{} has no error and is wrong, in {n} recordings", cell.name)),
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::super::cell::tests::cell;
    use super::*;

    #[test]
    fn rare_cells_do_not_count() {
        let cells = [cell(&[(1.0, 0.1), (2.0, 0.1)]), cell(&[(9.0, 0.5), (9.0, 0.5)])];
        assert_eq!(coverage(cells.iter()), Coverage { covered: 1, of: 2 });
        assert_eq!(worst(&cells).unwrap().outcomes, cells[0].outcomes);
        assert_eq!(worst(&cells[1..]).map(|cell| &cell.name), None);
    }

    #[test]
    fn the_bias_is_the_mean_of_recordings_not_of_cells() {
        let cells = [cell(&[(1.1, 0.1), (1.2, 0.1)]), cell(&[(1.3, 0.1), (1.2, 0.1)]), cell(&[(5.0, 0.0); 2])];
        let bias = bias(&cells).unwrap();
        assert!((bias.mean - 2.0).abs() < 1e-9 && bias.half_width < 1e-9, "{bias:?}");
        assert_eq!(super::bias(&cells[2..]), None);
        assert_eq!(super::bias(&[]), None);
    }

    #[test]
    fn chance_is_not_wrong_and_bias_is() {
        let fair = [cell(&[(1.1, 0.1), (0.9, 0.1), (1.05, 0.1), (1.3, 0.1)])];
        assert_eq!(wrong(&fair), Vec::<String>::new());
        // 2.5 standard errors, four times.
        assert_eq!(wrong(&[cell(&[(1.25, 0.1); 4])]).len(), 2);
        assert_eq!(wrong(&[cell(&[(1.25, 0.1); 4])])[1], "cell is off by +25.00 %, +5.0 standard errors");
        // In both directions: no bias, but the intervals are too narrow.
        let narrow: Vec<_> = (0..10).map(|n| (if n % 2 == 0 { 1.25 } else { 0.75 }, 0.1)).collect();
        assert_eq!(wrong(&[cell(&narrow)]), ["only 0 of 10 intervals contain the truth"]);
        assert_eq!(wrong(&[cell(&[(1.0, 0.0), (1.1, 0.0)])]), ["cell has no error and is wrong, in 1 recordings"]);
    }
}
