//! What is kept of the measurements.

use serde::{Deserialize, Serialize};

use super::super::fgspy::Recorded;

/// No more wake-ups than this a second, so that the target leaves CPU time for those that measure.
const MOST_WAKE_UPS: usize = 200_000;

/// How often a second each active goroutine wakes up, if there are not too many.
const WAKE_UPS: usize = 10;

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::cost) struct Data {
    pub(super) go: String,
    /// The ways to run fgspy: a name, and the arguments.
    pub(super) fgspy: Vec<(String, Vec<String>)>,
    /// Sizes that were not measured, with the reason.
    pub(super) skipped: Vec<String>,
    pub(super) runs: Vec<Run>,
    /// For each target, while nobody samples it: what waking up 99 times a second costs by itself, as a share of one core.
    #[serde(default)]
    pub(super) empty_ticks: Vec<(Cell, f64)>,
}

/// One window of time in which a profiler, or none, sampled a target. Times are in seconds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) cell: Cell,
    pub(super) repetition: usize,
    /// `none`, `fgprof`, or the name of a way to run fgspy.
    pub(super) profiler: String,
    pub(super) seconds: f64,
    /// CPU time of the target in that time.
    pub(super) target_cpu_s: f64,
    /// How often a second the profiler sampled the target.
    pub(super) ticks_per_s: Option<f64>,
    pub(super) fgspy: Option<Outside>,
}

/// What fgspy needed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Outside {
    /// CPU time in the window, by the kernel's account.
    pub(super) cpu_s: f64,
    /// The most memory until the end of the window, in bytes.
    pub(super) peak_bytes: u64,
    pub(super) recorded: Recorded,
}

/// A target: how many goroutines it has and what they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cell {
    pub(super) goroutines: usize,
    /// How many of them wake up at intervals.
    pub(super) active: usize,
    /// At what intervals, in milliseconds.
    pub(super) period_ms: u64,
}

impl Cell {
    pub(super) fn new(goroutines: usize, active: usize) -> Cell {
        let wake_ups = (active * WAKE_UPS).clamp(1, MOST_WAKE_UPS);
        Cell { goroutines, active, period_ms: (active.max(1) * 1000 / wake_ups) as u64 }
    }

    /// All of them, the smallest first.
    pub(super) fn all(quick: bool) -> Vec<Cell> {
        if quick {
            return vec![Cell::new(10, 0), Cell::new(10_000, 0), Cell::new(10_000, 100)];
        }
        [1, 10, 100, 1000, 10_000, 100_000, 1_000_000].into_iter().flat_map(Cell::of_size).collect()
    }

    /// Idle, one percent active, all active.
    pub(super) fn of_size(goroutines: usize) -> Vec<Cell> {
        let mut active = vec![0, goroutines / 100, goroutines];
        active.dedup();
        active.into_iter().map(|active| Cell::new(goroutines, active)).collect()
    }
}
