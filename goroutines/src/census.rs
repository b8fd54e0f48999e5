//! Every goroutine once: what a dump shows.

use std::collections::BTreeMap;

use fgspy_memory::{Memory, ReadError};

use crate::labels::{self, Labels};
use crate::{G, Observation, Reader, Runtime, Stack, Status};

/// Rounds made to get the stacks of goroutines that keep moving while they are read.
const MAX_ROUNDS: usize = 8;

/// Frames kept of all goroutines together: 128 MiB. Past that, only the few nearest the leaf are kept of each.
const MAX_ALL_FRAMES: usize = 16 << 20;
/// Those few.
const FEW_FRAMES: usize = 16;
/// Bytes of labels kept of all goroutines together. Past that, none are kept.
const MAX_ALL_LABELS: usize = 256 << 20;

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
///
/// What is kept is bounded: of a million goroutines with ten frames each everything, of many more (or much deeper) ones
/// only their nearest frames.
pub fn census(runtime: &Runtime, memory: &dyn Memory) -> Result<Vec<Goroutine>, ReadError> {
    let mut reader = Reader::new();
    let mut goroutines = BTreeMap::new();
    let mut kept = Kept::default();
    for round in 0..MAX_ROUNDS {
        let mut unsteady = 0;
        reader.round(runtime, memory, &mut |observation| {
            let goroutine = kept.limit(Goroutine::from(&observation));
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

/// What all goroutines together use.
#[derive(Default)]
struct Kept {
    frames: usize,
    label_bytes: usize,
}

impl Kept {
    /// Leaves out what is too much.
    fn limit(&mut self, mut goroutine: Goroutine) -> Goroutine {
        self.frames += goroutine.stack.pcs().len();
        self.label_bytes += labels::bytes_of(&goroutine.labels);
        if self.frames > MAX_ALL_FRAMES && goroutine.stack.pcs().len() > FEW_FRAMES {
            goroutine.stack = Frames::Cut(goroutine.stack.pcs().iter().copied().take(FEW_FRAMES).collect());
        }
        if self.label_bytes > MAX_ALL_LABELS {
            goroutine.labels = Labels::new();
        }
        goroutine
    }
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
                Stack::Torn if observation.status.is_on_thread() => Frames::Running,
                Stack::Changed(_) | Stack::Torn => Frames::Unsteady,
                Stack::Unmapped | Stack::Broken | Stack::Unread => Frames::Unreadable,
            },
            labels: observation.labels.cloned().unwrap_or_default(),
        }
    }
}
