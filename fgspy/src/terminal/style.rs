//! Colours.

use std::io::{IsTerminal, stdout};

use fgspy_profile::Phase;

/// Whether to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) colour: bool,
}

impl Style {
    /// Without colours.
    pub(crate) const PLAIN: Style = Style { colour: false };

    /// With colours if standard output is a terminal that has them and `NO_COLOR` is not set (<https://no-color.org>).
    pub(crate) fn of_stdout() -> Style {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Style { colour: stdout().is_terminal() && !unwanted && !is_dumb() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// In the colour of a phase.
    pub(crate) fn phase(self, phase: Phase, text: &str) -> String {
        self.paint(colour(phase), text)
    }

    /// In a colour by its code of SGR (`32` is green).
    pub(crate) fn paint(self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Whether the terminal can do no more than print.
pub(crate) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

/// One of the 16 standard colours, which users configure to be readable. As in flame graphs, warm colours are CPU time and what
/// delays it.
fn colour(phase: Phase) -> &'static str {
    match phase {
        Phase::OnCpu => "91",
        Phase::Runnable => "93",
        Phase::Network => "32",
        Phase::Lock => "35",
        Phase::Channel => "34",
        Phase::Sleep => "90",
        Phase::Syscall => "33",
        Phase::Other => "36",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::text::{right, width};

    #[test]
    fn colours_take_no_columns() {
        let style = Style { colour: true };
        let bold = style.bold("lock");
        assert_eq!((bold.as_str(), width(&bold)), ("\x1b[1mlock\x1b[0m", 4));
        assert_eq!(right(&bold, 6), "  \x1b[1mlock\x1b[0m");
        assert_eq!(Style::PLAIN.phase(Phase::Lock, "lock"), "lock");
    }
}
