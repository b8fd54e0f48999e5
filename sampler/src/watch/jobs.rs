//! Jobs of goroutines that serve no request: what their labels say, looked up once for each set of labels.

use std::collections::HashMap;

use fgspy_goroutines::request::{Request, job};
use fgspy_goroutines::{Observation, Runtime, symbolize};

use crate::aggregate::{Hasher, RawLabelsId};

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
            job(labels, || outermost(runtime, observation).or_else(|| runtime.function_at(start_pc)))
        });
        self.any |= known.is_some();
        known.as_ref()
    }
}

/// Frames at the root of a stack among which the function is looked for that a `go` statement names: what the compiler puts
/// around it is not meant.
const ROOT_FRAMES: usize = 4;

/// The function that a goroutine was started with, as its stack shows it.
fn outermost(runtime: &Runtime, observation: &Observation<'_>) -> Option<String> {
    let pcs = observation.stack.pcs();
    let root = pcs.get(pcs.len().saturating_sub(ROOT_FRAMES)..).unwrap_or(pcs);
    let frames = symbolize::frames(runtime, root, false);
    let lines = frames.iter().rev().flat_map(|frame| frame.lines.iter().rev());
    lines.into_iter().find(|line| symbolize::is_shown(line, None)).map(|line| line.function.to_string())
}
