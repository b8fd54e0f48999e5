//! How much to record.

use std::time::Duration;

use anyhow::{Result, ensure};

/// How much to record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) runs: u32,
    pub(super) duration: Duration,
    pub(super) traced: Duration,
}

impl Plan {
    pub(super) fn new(quick: bool, runs: Option<u32>, seconds: Option<f64>) -> Result<Plan> {
        let (usual, length, traced) = if quick { (2, 1.0, 1.0) } else { (10, 4.0, 2.0) };
        let duration = Duration::try_from_secs_f64(seconds.unwrap_or(length))?;
        ensure!(duration >= Duration::from_millis(500), "a recording takes half a second at least");
        let runs = runs.unwrap_or(usual);
        Ok(Plan { runs, duration, traced: Duration::from_secs_f64(traced) })
    }
}
