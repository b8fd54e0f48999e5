//! The recording loop: tick, drain, read, weigh.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use fgspy_goroutines::{ActiveFinder, Look, Reader, Runtime, Wanted};
use fgspy_kernel::{OnCpu, monotonic_ns};
use fgspy_memory::{Fate, Live, Process, ReadError, own_cpu_time, own_thread_cpu_time};
use fgspy_profile::Accounting;

use crate::budget::Spent;
use crate::choose::{CERTAIN, Choice, Chooser, Reading};
use crate::on_cpu::Interval;
use crate::samples::Samples;
use crate::slots::Slot;
use crate::ticker::{Stop, Tick, Ticker};
use crate::watch::{Now, Watch};

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
    /// Makes the choice of goroutines repeatable; without it, it is different each time.
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
            seed: None,
        }
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
pub fn record(session: &mut Session, options: Options, stop: &Stop, progress: &mut dyn FnMut(&Progress)) -> Recording {
    let start_unix_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
    let own_cpu_before = own_cpu_time();
    let start_ns = monotonic_ns();
    let period = Duration::from_secs_f64(1.0 / options.rate_hz);
    let mut ticker = Ticker::new(start_ns, period, options.duration);
    let mut round = Round::new(options);
    let mut covered_ns = 0;
    let ended = loop {
        let stopped = stop.sleep(ticker.until_due(monotonic_ns()));
        // The last moment at which the target was seen alive bounds what an aborted tick may count.
        let tick = ticker.tick(monotonic_ns(), stopped);
        if let Err(ended) = round.run(session, tick) {
            round.watch.abandon();
            break ended;
        }
        covered_ns += tick.interval_ns;
        progress(&round.progress(Duration::from_nanos(covered_ns)));
        if tick.last {
            break if stopped { Ended::Stopped } else { Ended::Duration };
        }
    };
    let cpu_samples = round.interval.sample_count;
    // What follows is no cost of watching.
    let own_cpu = own_cpu_time().saturating_sub(own_cpu_before);
    let (samples, mut accounting) = round.watch.finish(round.now_ns, round.ticks);
    accounting.own_cpu_ns = own_cpu.as_nanos() as u64;
    accounting.cpu_samples = cpu_samples;
    accounting.cpu_samples_lost = session.on_cpu.as_ref().map_or(0, |on_cpu| on_cpu.counts().lost);
    Recording { samples, accounting, start_unix_ns, duration: Duration::from_nanos(covered_ns), ended }
}

/// Goroutines of a first look that are read together.
const FIRST_LOOK: usize = 8192;

/// What is kept from tick to tick.
struct Round {
    reader: Reader,
    finder: ActiveFinder,
    chooser: Chooser,
    choice: Choice,
    active: Vec<u64>,
    interval: Interval,
    watch: Watch,
    max_memory: usize,
    ticks: u32,
    now_ns: u64,
    /// CPU time of this thread when the last tick was over.
    spent: Duration,
}

impl Round {
    fn new(options: Options) -> Round {
        let max_cpu = match options.reading {
            Reading::Budget { max_cpu } => Some(max_cpu),
            Reading::Everything | Reading::Share { .. } => None,
        };
        let accounting = Accounting { rate_hz: options.rate_hz, max_cpu, ..Accounting::default() };
        let rng = options.seed.map_or_else(Rng::new, Rng::with_seed);
        Round {
            reader: Reader::new(),
            finder: ActiveFinder::default(),
            chooser: Chooser::new(options.reading, rng),
            choice: Choice::default(),
            active: Vec::new(),
            interval: Interval::default(),
            watch: Watch::new(accounting, options.system),
            max_memory: options.max_memory,
            ticks: 0,
            now_ns: 0,
            spent: own_thread_cpu_time(),
        }
    }

    /// Reads goroutines, and takes what was seen for the time since the previous tick.
    ///
    /// A tick in which the target ends counts for nothing: which of its goroutines were read is an accident.
    fn run(&mut self, session: &mut Session, tick: Tick) -> Result<(), Ended> {
        let Session { process, memory, runtime, on_cpu } = session;
        if let Some(on_cpu) = on_cpu {
            self.interval.refill(on_cpu);
        }
        if self.interval.exec {
            return Err(Ended::TargetReplaced);
        }
        let now_ns = self.now_ns.saturating_add(tick.interval_ns);
        let now = Now { tick: self.ticks + 1, previous_ns: self.now_ns, now_ns, due_ns: tick.due_ns };
        let before = own_thread_cpu_time();
        let read = self.read(runtime, memory, now, tick.period_ns);
        let reading = own_thread_cpu_time().saturating_sub(before);
        let fate = match read {
            Err(ReadError::TargetGone) => process.fate_after_loss(),
            _ => process.still_same(),
        };
        match (fate, read) {
            (Fate::Exited, _) => return Err(Ended::TargetExited),
            (Fate::Execed, _) => return Err(Ended::TargetReplaced),
            (Fate::Same, Err(_)) => return Err(Ended::Denied),
            (Fate::Same, Ok(())) => {}
        }
        self.watch.commit(now);
        (self.ticks, self.now_ns) = (now.tick, now.now_ns);
        self.watch.accounting.ticks += 1;
        self.watch.accounting.late_ticks += u64::from(tick.late);
        self.interval.forget_before(tick.due_ns);
        self.keep_within_memory();
        self.account(tick, reading);
        Ok(())
    }

    fn read(&mut self, runtime: &Runtime, memory: &Live, now: Now, period_ns: u64) -> Result<(), ReadError> {
        if let Some(len) = self.finder.find(runtime, memory, &mut self.active)? {
            self.reader.refresh(runtime, memory, len)?;
        }
        let slots = &mut self.watch.slots;
        let first_new = slots.all.len();
        slots.all.resize(self.reader.all().len(), Slot::default());
        let all = self.reader.all();
        let active: Vec<u32> = self.active.iter().filter_map(|&address| all.find(address)).collect();
        let tick = (now.tick, period_ns as f64);
        if self.chooser.choose(&mut self.choice, slots, all, tick, &active, first_new) {
            self.first_look(runtime, memory, now, first_new as u32)?;
        }
        let Round { reader, choice, interval, watch, .. } = self;
        reader.read(runtime, memory, &choice.wanted, &mut |asked, observation| {
            if let (Some(wanted), Some(odds)) = (choice.wanted.get(asked), choice.odds.get(asked)) {
                watch.observe(runtime, interval, now, (wanted.index, *odds), observation);
            }
        })
    }

    /// Looks at the g's of goroutines that are new, so that they count from now on. A part at a time: this may be all there
    /// are.
    fn first_look(&mut self, runtime: &Runtime, memory: &Live, now: Now, first_new: u32) -> Result<(), ReadError> {
        let Round { reader, interval, watch, .. } = self;
        let new: Vec<u32> = reader.all().runs().flatten().copied().filter(|&index| index >= first_new).collect();
        for part in new.chunks(FIRST_LOOK) {
            let wanted: Vec<Wanted> = part.iter().map(|&index| Wanted { index, look: Look::G }).collect();
            reader.read(runtime, memory, &wanted, &mut |asked, observation| {
                if let Some(wanted) = wanted.get(asked) {
                    watch.observe(runtime, interval, now, (wanted.index, CERTAIN), observation);
                }
            })?;
        }
        Ok(())
    }

    /// Frees what can be done without.
    fn keep_within_memory(&mut self) {
        if !self.watch.is_anonymous() && self.watch.bytes() > self.max_memory {
            self.watch.forget_goroutines();
            let remark = "more goroutines came and went than can be told apart within --max-memory: \
                          times are right, but not which goroutine spent them";
            self.watch.accounting.remarks.push(remark.to_owned());
        }
    }

    /// Tells the budget what the tick cost. The first look at all goroutines is not held against it: it would be paid
    /// for by reading nothing for a long time.
    fn account(&mut self, tick: Tick, reading: Duration) {
        let spent = own_thread_cpu_time();
        let whole_ns = spent.saturating_sub(self.spent).as_nanos() as u64;
        self.spent = spent;
        if self.ticks == 1 {
            self.watch.accounting.first_look_ns = whole_ns;
        } else if let Some(budget) = self.chooser.budget() {
            let reads = self.choice.wanted.len() as u64;
            let reading_ns = reading.as_nanos() as u64;
            budget.settle(Spent { whole_ns, reading_ns, reads, interval_ns: tick.interval_ns });
        }
    }

    fn progress(&self, elapsed: Duration) -> Progress {
        let accounting = &self.watch.accounting;
        let rejected = accounting.changed + accounting.broken + accounting.unmapped;
        Progress {
            elapsed,
            goroutines: self.watch.live,
            observations: accounting.accepted + rejected,
            rejected,
            late_ticks: accounting.late_ticks,
        }
    }
}
