//! Colours, and text that fits.

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

    /// With colours if standard output is a terminal that has them and nobody wants none (<https://no-color.org>).
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

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Whether the terminal can do no more than print.
pub(crate) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

/// Of the 16 colours that every terminal has, and that people have set to what they can read. As in flame graphs, warm is
/// work and what keeps from it.
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

/// The text, without what could move the cursor. It comes from the target.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The text in so many columns at most: what was cut off ends in `…`.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(columns.saturating_sub(1)).collect();
    cut.extend((columns > 0).then_some('…'));
    cut
}

/// Filled up with spaces on the right.
pub(crate) fn left(text: &str, columns: usize) -> String {
    format!("{}{}", text, " ".repeat(columns.saturating_sub(width(text))))
}

/// Filled up with spaces on the left.
pub(crate) fn right(text: &str, columns: usize) -> String {
    format!("{}{}", " ".repeat(columns.saturating_sub(width(text))), text)
}

/// How many columns a line takes, without the codes for colours in it.
pub(crate) fn width(line: &str) -> usize {
    let mut columns = 0;
    let mut in_code = false;
    for c in line.chars() {
        match c {
            '\x1b' => in_code = true,
            _ if in_code => in_code = !c.is_ascii_alphabetic(),
            _ => columns += 1,
        }
    }
    columns
}

/// A paragraph in lines of so many columns; all but the first are indented as its text is.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let indent = text.len() - text.trim_start_matches([' ', '-']).len();
    let mut lines = vec![text.get(..indent).unwrap_or_default().to_owned()];
    let mut is_empty = true;
    // Not at every kind of space: what belongs together is joined by one that does not break.
    for word in text.get(indent..).unwrap_or_default().split(' ').filter(|word| !word.is_empty()) {
        let last = lines.last().map_or(0, |line| width(line));
        if !is_empty && last + 1 + width(word) > columns {
            lines.push(" ".repeat(indent));
            is_empty = true;
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(if is_empty { "" } else { " " });
            line.push_str(word);
        }
        is_empty = false;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_fits() {
        assert_eq!(cut("GET /größe", 10), "GET /größe");
        assert_eq!(cut("GET /größe", 8), "GET /gr…");
        assert_eq!((cut("ab", 1), cut("ab", 0)), ("…".to_owned(), String::new()));
        assert_eq!((left("ab", 4), right("ab", 4), right("abc", 2)), ("ab  ".into(), "  ab".into(), "abc".into()));
        assert_eq!(clean("a\x1b[2Jb\nc"), "a?[2Jb?c");
    }

    #[test]
    fn colours_take_no_room() {
        let style = Style { colour: true };
        let bold = style.bold("lock");
        assert_eq!((bold.as_str(), width(&bold)), ("\x1b[1mlock\x1b[0m", 4));
        assert_eq!(right(&bold, 6), "  \x1b[1mlock\x1b[0m");
        assert_eq!(Style::PLAIN.phase(Phase::Lock, "lock"), "lock");
    }

    #[test]
    fn paragraphs() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("- one two three", 9), ["- one two", "  three"]);
        assert_eq!(wrap("one two\u{a0}three", 8), ["one", "two\u{a0}three"]);
        assert_eq!(wrap("", 8), [""]);
    }
}
