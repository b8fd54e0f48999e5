//! Time lines in letters, one for each phase.

use fgspy_profile::Phase;

use crate::terminal::style::Style;

/// The letter of a phase.
const fn letter(phase: Phase) -> &'static str {
    match phase {
        Phase::OnCpu => "C",
        Phase::Runnable => "R",
        Phase::Network => "N",
        Phase::Lock => "L",
        Phase::Channel => "H",
        Phase::Sleep => "S",
        Phase::Syscall => "Y",
        Phase::Other => "O",
    }
}

/// The letter for time of which nothing is known.
const GAP: &str = "·";

/// One line that explains the letters of these phases.
pub(super) fn legend(phases: &[Phase], style: Style) -> String {
    let entries = phases.iter().map(|&phase| format!("{} {}", style.phase(phase, letter(phase)), phase.word()));
    entries.collect::<Vec<_>>().join("  ")
}

/// A time line in letters.
pub(super) fn draw(phases: &[Option<Phase>], style: Style) -> String {
    let runs = phases.chunk_by(|a, b| a == b);
    let draw = |run: &[Option<Phase>]| match run.first().copied().flatten() {
        Some(phase) => style.phase(phase, &letter(phase).repeat(run.len())),
        None => style.dim(&GAP.repeat(run.len())),
    };
    runs.map(draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_letters_and_gaps_are_dots() {
        let (lock, cpu) = (Some(Phase::Lock), Some(Phase::OnCpu));
        assert_eq!(draw(&[lock, None, cpu, cpu, lock], Style::PLAIN), "L·CCL");
        let coloured = draw(&[lock, cpu, lock, lock], Style { colour: true });
        assert_eq!(coloured, "\x1b[35mL\x1b[0m\x1b[91mC\x1b[0m\x1b[35mLL\x1b[0m");
        assert_eq!(legend(&[Phase::Lock, Phase::Channel], Style::PLAIN), "L lock  H channel");
    }
}
