//! What is kept of the measurements.

use serde::{Deserialize, Serialize};

use super::super::fgspy::Recorded;

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::cost) struct Data {
    pub(super) go: String,
    pub(super) parked: usize,
    /// Requests a second that the server answers, from 16 clients, without a profiler.
    pub(super) capacity: f64,
    /// Requests a second that it was then sent.
    pub(super) rate: f64,
    pub(super) runs: Vec<Run>,
}

/// One server under load.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) round: usize,
    pub(super) arm: String,
    pub(super) latency: Latency,
    /// CPU time of the server, in nanoseconds for one request.
    pub(super) cpu_ns: f64,
    pub(super) pauses: Pauses,
    /// How often a second the profiler sampled the program.
    pub(super) ticks_per_s: Option<f64>,
    pub(super) fgspy: Option<Recorded>,
}

/// What `load` prints: latencies from when a request was due, in nanoseconds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Latency {
    pub(super) requests: u64,
    pub(super) seconds: f64,
    pub(super) p50_ns: f64,
    pub(super) p99_ns: f64,
    pub(super) p999_ns: f64,
    pub(super) longest_ns: f64,
}

/// What `server` says about a goroutine that never waits: the times at which it did not run, in nanoseconds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Pauses {
    pub(super) longest_ns: f64,
    pub(super) lost_ns: f64,
    pub(super) over_1ms: u64,
    pub(super) total_ns: f64,
}
