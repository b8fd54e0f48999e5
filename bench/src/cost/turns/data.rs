//! What is kept of the measurements.

use serde::{Deserialize, Serialize};

use super::super::fgspy::Recorded;

/// The arms in the order of the data: A, A′, fgspy.
pub(super) const ARMS: usize = 3;

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::cost) struct Data {
    pub(super) go: String,
    pub(super) turn_ms: f64,
    pub(super) settle_ms: f64,
    pub(super) levels: Vec<Level>,
}

/// What the target does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Work {
    /// It encodes and decodes values.
    Values,
    /// It serves requests that it sends to itself.
    Requests,
}

/// With one number of parked goroutines.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Level {
    pub(super) work: Work,
    pub(super) parked: usize,
    pub(super) rounds: Vec<Round>,
    /// For how long fgspy was not stopped, in seconds.
    pub(super) running_s: f64,
    pub(super) recorded: Recorded,
}

/// What the target did in a turn: values or requests, nanoseconds by the clock, nanoseconds of CPU time of all its threads;
/// and of the nanoseconds that single ones took the median and the 99th percentile.
pub(super) type Turn = [u64; 5];

/// Two turns of each arm.
pub(super) type Round = [[Turn; 2]; ARMS];
