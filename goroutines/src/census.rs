//! Every goroutine once: what a dump shows.

use std::collections::BTreeMap;

use fgspy_memory::{Memory, ReadError};

use crate::labels::Labels;
use crate::{G, Observation, Reader, Runtime, Stack, Status};

/// Rounds made to get the stacks of goroutines that keep moving while they are read.
const MAX_ROUNDS: usize = 8;

/// One goroutine, as it was at one moment.
#[derive(Clone, Debug)]
pub struct Goroutine {
    /// Its fields.
    pub g: G,
    /// Its status.
    pub status: Status,
    /// The thread that has it, by the thread id the target itself sees.
    pub tid: Option<u32>,
    /// Its program counters, leaf first.
    pub stack: Frames,
    /// Its `runtime/pprof` labels, sorted by key.
    pub labels: Labels,
}

/// The program counters of a [`Goroutine`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frames {
    /// All of them.
    Whole(Vec<u64>),
    /// Those nearest the leaf.
    Cut(Vec<u64>),
    /// It was running: its stack was its thread's.
    Running,
    /// Each time it was read, it had moved on.
    Unsteady,
    /// What was read was no stack.
    Unreadable,
}

impl Frames {
    /// The program counters there are.
    pub fn pcs(&self) -> &[u64] {
        match self {
            Frames::Whole(pcs) | Frames::Cut(pcs) => pcs,
            Frames::Running | Frames::Unsteady | Frames::Unreadable => &[],
        }
    }
}

/// Reads every goroutine, sorted by id. Each is consistent in itself; they are not all of the same instant, because the
/// target is never paused. Those that moved while they were read are read again, a bounded number of times.
pub fn census(runtime: &Runtime, memory: &dyn Memory) -> Result<Vec<Goroutine>, ReadError> {
    let mut reader = Reader::new();
    let mut goroutines = BTreeMap::new();
    for round in 0..MAX_ROUNDS {
        let mut unsteady = 0;
        reader.round(runtime, memory, &mut |observation| {
            let goroutine = Goroutine::from(&observation);
            let is_steady = goroutine.stack != Frames::Unsteady;
            unsteady += usize::from(!is_steady);
            let known = goroutines.get(&goroutine.g.goid).map(|known: &Goroutine| known.stack != Frames::Unsteady);
            // The first round says who is there; later ones only fill in what is missing.
            let wanted = if round == 0 { true } else { known == Some(false) && is_steady };
            if wanted {
                goroutines.insert(goroutine.g.goid, goroutine);
            }
        })?;
        if unsteady == 0 {
            break;
        }
    }
    Ok(goroutines.into_values().collect())
}

impl From<&Observation<'_>> for Goroutine {
    fn from(observation: &Observation<'_>) -> Goroutine {
        Goroutine {
            g: *observation.g,
            status: observation.status,
            tid: observation.tid,
            stack: match observation.stack {
                Stack::Whole(pcs) => Frames::Whole(pcs.to_vec()),
                Stack::Cut(pcs) => Frames::Cut(pcs.to_vec()),
                Stack::OnThread => Frames::Running,
                Stack::Changed => Frames::Unsteady,
                Stack::Unmapped | Stack::Broken => Frames::Unreadable,
            },
            labels: observation.labels.cloned().unwrap_or_default(),
        }
    }
}
