//! The ways to read that are put to the test.

use std::time::Duration;

use fgspy_sampler::{Options, Reading};

/// How many goroutines are read at each tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// All of them.
    Everything,
    /// As many as 1 % of a core is enough for, fgspy's default.
    Budget,
    /// As few as ever: what is left on busy CPUs, where a tick alone takes more than the budget.
    Fewest,
    /// Those that moved lately, and one in a hundred of the others.
    OnePercent,
}

/// Ticks a second.
pub(super) const RATE_HZ: f64 = 99.0;

impl Mode {
    pub(super) const ALL: [Mode; 4] = [Mode::Everything, Mode::Budget, Mode::Fewest, Mode::OnePercent];

    /// Those to record a program in. Six a tick do not get to all of ten thousand stacks: fgspy then says that it does not know
    /// where their goroutines are, and there is nothing to compare.
    pub(super) fn of(program: &str) -> Vec<Mode> {
        Mode::ALL.into_iter().filter(|mode| *mode != Mode::Fewest || program != "parked").collect()
    }

    /// Its name in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Mode::Everything => "everything",
            Mode::Budget => "1 % of a core",
            Mode::Fewest => "six a tick",
            Mode::OnePercent => "one in a hundred",
        }
    }

    /// How to record in it. The runtime's own goroutines count, as they do in Go's trace.
    pub(super) fn options(self, duration: Duration) -> Options {
        let reading = match self {
            Mode::Everything => Reading::Everything,
            Mode::Budget => Reading::Budget { max_cpu: 0.01 },
            Mode::Fewest => Reading::Budget { max_cpu: 1e-6 },
            Mode::OnePercent => Reading::Share { probability: 0.01 },
        };
        Options { rate_hz: RATE_HZ, duration: Some(duration), system: true, reading, ..Options::default() }
    }
}
