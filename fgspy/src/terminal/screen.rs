//! Lines on a terminal that are drawn again and again in the same place.

use std::io::{self, IsTerminal, Write};

use terminal_size::{Height, Width, terminal_size_of};

use super::style::{Style, is_dumb};
use super::text::width;

/// Columns and rows of a terminal that does not say.
const USUAL: (usize, usize) = (80, 24);

/// The columns of a report that does not go to a terminal.
const REPORT: usize = 100;
/// The fewest and the most columns of a report that goes to a terminal.
const MIN_REPORT: usize = 40;
const MAX_REPORT: usize = 160;

/// The columns and the style of a report. `to_stdout` if it goes to standard output, which may be a terminal.
pub(crate) fn report_format(to_stdout: bool) -> (usize, Style) {
    match to_stdout && is_terminal() {
        true => (size().0.clamp(MIN_REPORT, MAX_REPORT), Style::of_stdout()),
        false => (REPORT, Style::PLAIN),
    }
}

/// The columns and rows of the terminal that standard output is.
pub(crate) fn size() -> (usize, usize) {
    match terminal_size_of(io::stdout()) {
        Some((Width(columns @ 1..), Height(rows @ 1..))) => (columns.into(), rows.into()),
        _ => USUAL,
    }
}

/// Whether standard output is a terminal.
fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether standard output is a terminal on which something can be drawn again.
pub(crate) fn can_redraw() -> bool {
    is_terminal() && !is_dumb()
}

/// What was drawn last.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    /// How many columns each line takes.
    drawn: Vec<usize>,
}

impl Screen {
    /// What to write in order to have these lines in place of those before, on a terminal of so many columns and rows. The
    /// cursor ends below them. Lines that do not fit are left out.
    pub(crate) fn redraw(&mut self, lines: &[String], (columns, rows): (usize, usize)) -> String {
        let mut output = self.erase(columns);
        // A line that is too long is cut by the terminal: wrapped, it could not be drawn over.
        output += "\x1b[?7l";
        let fitting = lines.iter().take(rows.saturating_sub(1));
        self.drawn = fitting.clone().map(|line| width(line)).collect();
        fitting.for_each(|line| output += &format!("{line}\r\n"));
        output += "\x1b[?7h";
        output
    }

    /// What to write in order to have nothing in their place.
    pub(crate) fn erase(&mut self, columns: usize) -> String {
        // Many terminals break lines anew when they become narrower.
        let rows: usize = self.drawn.drain(..).map(|width| width.div_ceil(columns.max(1)).max(1)).sum();
        if rows == 0 { String::new() } else { format!("\r\x1b[{rows}A\x1b[J") }
    }
}

/// Writes to the terminal. One that has gone away is no reason to stop recording.
pub(crate) fn show(output: &str) {
    let mut terminal = io::stdout().lock();
    let _ = terminal.write_all(output.as_bytes()).and_then(|()| terminal.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn lines_take_the_place_of_those_before() {
        let mut screen = Screen::default();
        let first = screen.redraw(&lines(&["one", "\x1b[1mtwo\x1b[0m", ""]), (10, 24));
        assert_eq!(first, "\x1b[?7lone\r\n\x1b[1mtwo\x1b[0m\r\n\r\n\x1b[?7h");
        let second = screen.redraw(&lines(&["1234567890", "x"]), (10, 24));
        assert_eq!(second, "\r\x1b[3A\x1b[J\x1b[?7l1234567890\r\nx\r\n\x1b[?7h");
        // Now it is narrower: the first line has become two.
        assert_eq!(screen.erase(5), "\r\x1b[3A\x1b[J");
        assert_eq!(screen.erase(5), "");
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut screen = Screen::default();
        assert_eq!(screen.redraw(&lines(&["one", "two", "three"]), (10, 3)), "\x1b[?7lone\r\ntwo\r\n\x1b[?7h");
        assert_eq!(screen.erase(10), "\r\x1b[2A\x1b[J");
    }
}
