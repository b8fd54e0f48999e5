//! Jobs of goroutines that serve no request: what their labels say, looked up once for each set of labels.

use std::collections::HashMap;

use fgspy_goroutines::request::{Request, job};
use fgspy_goroutines::{Observation, Runtime};

use crate::estimate::{Hasher, RawLabelsId};

/// Sets of labels that are remembered.
const MAX_KNOWN: usize = 1 << 14;

/// What is known of jobs.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    /// By the set of labels, and the function that the goroutine was started with.
    known: HashMap<(RawLabelsId, u64), Option<Request>, Hasher>,
    /// There has been one.
    pub(super) any: bool,
}

impl Jobs {
    /// The job that a goroutine works on, by its labels.
    pub(super) fn of(
        &mut self,
        runtime: &Runtime,
        labels: RawLabelsId,
        observation: &Observation<'_>,
    ) -> Option<&Request> {
        if labels == RawLabelsId::default() {
            return None;
        }
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        let start_pc = observation.g.start_pc;
        let known = self.known.entry((labels, start_pc)).or_insert_with(|| {
            let labels = observation.labels?;
            job(labels, || runtime.started_with(start_pc))
        });
        self.any |= known.is_some();
        known.as_ref()
    }
}
