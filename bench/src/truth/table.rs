//! Lines of tables.

use super::cell::Cell;
use super::comparison::Compared;
use super::statistics::{Mean, Z_95, wilson};
use super::tracing::TracedState;
use super::verdict::{self, Coverage};

/// Heads of [`line()`].
pub(super) const HEAD: &str = "\
| program | reading | cells | of them rare | intervals with the truth | bias in standard errors | worst cell | without a place | fgspy's CPU | late ticks |
|---|---|--:|--:|---|--:|---|--:|--:|--:|";

/// A program in one mode.
pub(super) fn line(compared: &Compared) -> String {
    let rare = compared.cells.iter().filter(|cell| cell.is_rare()).count();
    let worst = verdict::worst(&compared.cells).map_or("-".to_owned(), |cell| match cell.bias() {
        Some(bias) => format!("{}: {}", cell.name, percent(bias)),
        None => cell.name.clone(),
    });
    format!(
        "| {} | {} | {} | {rare} | {} | {} | {worst} | {:.2} % | {:.1} % | {:.1} % |",
        compared.program,
        compared.mode.name(),
        compared.cells.len(),
        covered(verdict::coverage(compared.cells.iter())),
        verdict::bias(&compared.cells)
            .map_or("-".to_owned(), |bias| { format!("{:+.2} ± {:.2}", bias.mean, bias.half_width) }),
        100.0 * compared.unplaced,
        100.0 * compared.cpu,
        100.0 * compared.late,
    )
}

/// Heads of [`cell`].
pub(super) const CELL_HEAD: &str = "\
| program | reading | cell | goroutines in it | standard error | bias | in standard errors | intervals with the truth | while recorded |
|---|---|---|--:|--:|--:|--:|--:|--:|";

/// A cell of a program in one mode.
pub(super) fn cell(compared: &Compared, cell: &Cell) -> String {
    format!(
        "| {} | {} | {}{} | {:.4} | {:.2} % | {} | {:+.1} | {} of {} | {} |",
        compared.program,
        compared.mode.name(),
        cell.name,
        if cell.is_rare() { " (rare)" } else { "" },
        cell.goroutines(),
        100.0 * cell.relative_error(),
        cell.bias().map_or("-".to_owned(), percent),
        cell.total_score(),
        cell.covered(),
        cell.outcomes.len(),
        cell.moved().map_or("-".to_owned(), percent),
    )
}

/// A state by profile and trace.
pub(super) fn traced(program: &str, state: &TracedState) -> String {
    let TracedState { name, profile, half_width, trace } = state;
    let name = name.to_lowercase();
    format!("| {program} | {name} | {profile:.4} ± {half_width:.4} | {trace:.4} | {:+.4} |", profile - trace)
}

/// A share with its interval: `37 of 40: 92.5 % (80.1–97.4)`.
pub(super) fn covered(Coverage { covered, of }: Coverage) -> String {
    if of == 0 {
        return "-".to_owned();
    }
    let (low, high) = wilson(covered, of, Z_95);
    let share = 100.0 * covered as f64 / of as f64;
    format!("{covered} of {of}: {share:.1} % ({:.1}–{:.1})", 100.0 * low, 100.0 * high)
}

fn percent(mean: Mean) -> String {
    format!("{:+.2} ± {:.2} %", 100.0 * mean.mean, 100.0 * mean.half_width)
}

#[cfg(test)]
mod tests {
    use super::super::cell::tests::cell;
    use super::super::mode::Mode;
    use super::*;

    #[test]
    fn a_line_says_what_was_found() {
        let compared = Compared {
            program: "sleeps".to_owned(),
            mode: Mode::Everything,
            cells: vec![cell(&[(1.1, 0.1), (1.3, 0.1)]), cell(&[(1.0, 0.0), (1.0, 0.0)]), cell(&[(1.0, 0.5); 2])],
            not_added_up: 0,
            cpu: 0.0123,
            late: 0.0,
            unplaced: 0.0004,
        };
        assert_eq!(
            line(&compared),
            "| sleeps | everything | 3 | 1 | 3 of 4: 75.0 % (30.1–95.4) | +2.00 ± 12.71 | cell: +20.00 ± 127.06 % | 0.04 % | 1.2 % | 0.0 % |"
        );
        assert_eq!(
            super::cell(&compared, &compared.cells[0]),
            "| sleeps | everything | cell | 0.5000 | 10.00 % | +20.00 ± 127.06 % | +2.8 | 1 of 2 | +25.00 ± 0.00 % |"
        );
        assert_eq!(covered(Coverage { covered: 0, of: 0 }), "-");
        let state = TracedState { name: "Running", profile: 1.5, half_width: 0.25, trace: 1.75 };
        assert_eq!(traced("sleeps", &state), "| sleeps | running | 1.5000 ± 0.2500 | 1.7500 | -0.2500 |");
    }
}
