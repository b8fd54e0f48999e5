//! The recording loop: tick, drain, read, weigh.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use fgspy_goroutines::Runtime;
use fgspy_goroutines::request::RequestOptions;
use fgspy_memory::{Live, Process, own_cpu_time};
use fgspy_perf::{OnCpu, monotonic_ns};
use fgspy_profile::Accounting;

use crate::choose::Reading;
use crate::live;
use crate::modules::PluginWatch;
use crate::punctual::Punctual;
use crate::round::Round;
use crate::samples::Samples;
use crate::ticker::{Stop, Ticker};

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

/// What was recorded, not yet looked up: see [`crate::profile`].
pub struct Recording {
    /// The observations.
    pub samples: Samples,
    /// How they came about.
    pub accounting: Accounting,
    /// Start, in nanoseconds since the Unix epoch.
    pub start_unix_ns: u64,
    /// Measured length.
    pub duration: Duration,
    /// Why it ended.
    pub ended: Ended,
}

/// Records until the time is over, `stop` is requested or the target ends. Whatever was recorded until then is returned.
pub fn record(
    session: &mut Session,
    options: Options,
    stop: &Stop,
    progress: &mut dyn FnMut(&Progress, &live::Live<'_>),
) -> Recording {
    let start_unix_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
    let own_cpu_before = own_cpu_time();
    let start_ns = monotonic_ns();
    let period = Duration::from_secs_f64(1.0 / options.rate_hz);
    let mut rng = options.rng();
    let mut ticker = Ticker::new(start_ns, period, options.duration, rng.fork());
    let mut round = Round::new(&session.runtime, options, rng, session.on_cpu.as_ref(), start_ns);
    let mut plugins = PluginWatch::new(&session.memory, &session.runtime);
    let mut covered_ns = 0;
    let mut punctual = Punctual::default();
    let ended = loop {
        let stopped = stop.sleep(ticker.until_due(monotonic_ns()));
        // The last moment at which the target was seen alive bounds what an aborted tick may count.
        let tick = ticker.tick(monotonic_ns(), stopped);
        // If the target is gone, the tick finds out.
        if let Ok(plugins) = &mut plugins {
            plugins.look(&session.process, &session.memory, &session.runtime).ok();
        }
        if let Err(ended) = round.run(session, tick) {
            round.watch.abandon();
            break ended;
        }
        covered_ns += tick.interval_ns;
        let live =
            live::Live { runtime: &session.runtime, watch: &round.watch, now_ns: round.now_ns, ticks: round.ticks };
        progress(&round.progress(Duration::from_nanos(covered_ns)), &live);
        // Not before the first tick, which may have had very many goroutines to look at.
        punctual.after(tick, monotonic_ns());
        if tick.last {
            break if stopped { Ended::Stopped } else { Ended::Duration };
        }
    };
    drop(punctual);
    let cpu_samples = round.interval.sample_count;
    // What follows is no cost of watching.
    let own_cpu = own_cpu_time().saturating_sub(own_cpu_before);
    let missed = round.missed_requests();
    let (samples, mut accounting) = round.watch.finish(round.now_ns, round.ticks);
    accounting.own_cpu_ns = own_cpu.as_nanos() as u64;
    accounting.remarks.extend(missed);
    accounting.cpu_samples = cpu_samples;
    accounting.cpu_samples_lost = session.on_cpu.as_ref().map_or(0, |on_cpu| on_cpu.counts().lost);
    Recording { samples, accounting, start_unix_ns, duration: Duration::from_nanos(covered_ns), ended }
}
