//! How to record, what, and how it goes.

use std::time::Duration;

use fastrand::Rng;
use fgspy_goroutines::Runtime;
use fgspy_goroutines::request::RequestOptions;
use fgspy_memory::{Live, Process};
use fgspy_perf::OnCpu;

use crate::choose::Reading;

/// A target that is ready to be recorded.
pub struct Session {
    /// The process.
    pub process: Process,
    /// Its memory.
    pub memory: Live,
    /// Its runtime.
    pub runtime: Runtime,
    /// Samples of its threads, if the kernel permits them.
    pub on_cpu: Option<OnCpu>,
}

/// [`Options::max_memory`] where nobody says otherwise.
pub const DEFAULT_MAX_MEMORY: usize = 512 << 20;

/// How to record.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Ticks a second; above 0.
    pub rate_hz: f64,
    /// How long; until stopped without one.
    pub duration: Option<Duration>,
    /// Count the runtime's own goroutines even while they wait. Go's own goroutine profiles, and so fgprof, leave them out;
    /// here they count while they run or want to, so that the work of the garbage collector is seen.
    pub system: bool,
    /// How much to read.
    pub reading: Reading,
    /// About how many bytes of memory the recording may take.
    pub max_memory: usize,
    /// What to read of the requests that goroutines serve; without it, none is looked for.
    pub requests: Option<RequestOptions>,
    /// Makes repeatable which goroutines are chosen, and when; without it, that is different each time.
    pub seed: Option<u64>,
}

/// Why a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The time was over.
    Duration,
    /// It was asked to.
    Stopped,
    /// The target exited.
    TargetExited,
    /// The target replaced its program by another.
    TargetReplaced,
    /// The kernel no longer lets us read the target.
    Denied,
}

impl Default for Options {
    /// 99 ticks a second until stopped, within 1 % of a core and [`DEFAULT_MAX_MEMORY`].
    fn default() -> Options {
        Options {
            rate_hz: 99.0,
            duration: None,
            system: false,
            reading: Reading::Budget { max_cpu: 0.01 },
            max_memory: DEFAULT_MAX_MEMORY,
            requests: Some(RequestOptions::default()),
            seed: None,
        }
    }
}

impl Options {
    /// What decides where chance has to.
    pub(crate) fn rng(&self) -> Rng {
        self.seed.map_or_else(Rng::new, Rng::with_seed)
    }
}

/// How a recording is going, told after each tick.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Time since the start.
    pub elapsed: Duration,
    /// Goroutines at this tick.
    pub goroutines: u64,
    /// Observations so far.
    pub observations: u64,
    /// Observations so far whose stack was rejected.
    pub rejected: u64,
    /// Ticks so far that came late.
    pub late_ticks: u64,
}
