//! What is kept of the measurements.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::fgspy::Recorded;

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::cost) struct Data {
    /// The Go versions of the arms: the newest and the oldest.
    pub(super) go: [String; 2],
    /// About how long a benchmark ran in each run, in milliseconds.
    pub(super) benchtime_ms: u64,
    /// How many goroutines were parked, in each series of runs.
    pub(super) levels: Vec<usize>,
    pub(super) runs: Vec<Run>,
}

/// One run of all benchmarks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) round: usize,
    pub(super) parked: usize,
    pub(super) arm: String,
    /// How long all benchmarks took.
    pub(super) seconds: f64,
    /// For each benchmark, nanoseconds for one operation.
    pub(super) ns_per_op: BTreeMap<String, f64>,
    /// How often a second the profiler sampled the program.
    pub(super) ticks_per_s: Option<f64>,
    pub(super) fgspy: Option<Recorded>,
}
