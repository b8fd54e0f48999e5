//! One line on the terminal that says how the recording is going.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use fgspy_sampler::Progress;

/// How often the line is drawn.
const REDRAW: Duration = Duration::from_millis(200);

/// Draws progress on standard error if that is a terminal, and nothing otherwise.
pub(crate) struct ProgressLine {
    shown: bool,
    drawn: Option<Instant>,
    duration: Option<Duration>,
}

impl ProgressLine {
    pub(crate) fn new(quiet: bool, duration: Option<Duration>) -> ProgressLine {
        ProgressLine { shown: !quiet && io::stderr().is_terminal(), drawn: None, duration }
    }

    /// Draws the line anew, if it is time to.
    pub(crate) fn update(&mut self, progress: &Progress) {
        if !self.shown || self.drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        // A terminal that has gone away is no reason to stop recording. One that is too narrow cuts the line: wrapped, it
        // could not be drawn over.
        let line = format!("\r\x1b[K\x1b[?7l{}\x1b[?7h", line(progress, self.duration));
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

/// The line goes away with the recording: the summary says it all.
impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = io::stderr().write_all(b"\r\x1b[K");
        }
    }
}

fn line(progress: &Progress, duration: Option<Duration>) -> String {
    let Progress { elapsed, goroutines, observations, rejected, late_ticks } = *progress;
    let time = match duration {
        Some(duration) => format!("{:.0} s left", duration.saturating_sub(elapsed).as_secs_f64().ceil()),
        None => format!("{:.0} s, Ctrl-C to end", elapsed.as_secs_f64()),
    };
    let mut line = format!("Recording: {time}, {goroutines} goroutines, {observations} observations");
    if rejected > 0 {
        line += &format!(", {rejected} rejected");
    }
    if late_ticks > 0 {
        line += &format!(", {late_ticks} ticks late");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_is_going_on_and_only_that() {
        let mut progress = Progress {
            elapsed: Duration::from_millis(2600),
            goroutines: 12,
            observations: 3100,
            rejected: 0,
            late_ticks: 0,
        };
        let ten = Some(Duration::from_secs(10));
        assert_eq!(line(&progress, ten), "Recording: 8 s left, 12 goroutines, 3100 observations");
        (progress.rejected, progress.late_ticks) = (4, 1);
        assert_eq!(
            line(&progress, None),
            "Recording: 3 s, Ctrl-C to end, 12 goroutines, 3100 observations, 4 rejected, 1 ticks late"
        );
    }
}
