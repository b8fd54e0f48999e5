//! The recording loop: tick, drain, read, weigh.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fgspy_goroutines::{Observation, Owner, Reader, Runtime, Stack, Status};
use fgspy_kernel::{OnCpu, State as ThreadState, monotonic_ns};
use fgspy_memory::{Fate, Live, Process, ReadError, own_cpu_time};
use fgspy_profile::{Accounting, State};

use crate::aggregate::{Aggregate, RawStack, Weight, Who};
use crate::on_cpu::Interval;
use crate::ticker::{Stop, Tick, Ticker};

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
    pub aggregate: Aggregate,
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
            break ended;
        }
        covered_ns += tick.interval_ns;
        progress(&round.progress(Duration::from_nanos(covered_ns)));
        if tick.last {
            break if stopped { Ended::Stopped } else { Ended::Duration };
        }
    };
    let mut accounting = round.accounting;
    accounting.own_cpu_ns = own_cpu_time().saturating_sub(own_cpu_before).as_nanos() as u64;
    accounting.cpu_samples = round.interval.sample_count;
    accounting.cpu_samples_lost = session.on_cpu.as_ref().map_or(0, |on_cpu| on_cpu.counts().lost);
    Recording {
        aggregate: round.aggregate,
        accounting,
        start_unix_ns,
        duration: Duration::from_nanos(covered_ns),
        ended,
    }
}

/// What is kept from tick to tick.
struct Round {
    reader: Reader,
    interval: Interval,
    aggregate: Aggregate,
    accounting: Accounting,
    goroutines: u64,
    /// Leave out the runtime's own goroutines while they wait.
    skip_system: bool,
    /// Whose goroutines are started at an address.
    owners: HashMap<u64, Owner>,
}

impl Round {
    fn new(options: Options) -> Round {
        Round {
            reader: Reader::new(),
            interval: Interval::default(),
            aggregate: Aggregate::new(),
            accounting: Accounting { rate_hz: options.rate_hz, ..Accounting::default() },
            goroutines: 0,
            skip_system: !options.system,
            owners: HashMap::new(),
        }
    }

    /// Reads every goroutine once, and adds what was seen for the time since the previous tick.
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
        let mut seen = Vec::new();
        let interval = &self.interval;
        let (skip_system, owners) = (self.skip_system, &mut self.owners);
        let read = self.reader.round(runtime, memory, &mut |observation| {
            let waits = matches!(observation.status, Status::Waiting | Status::Syscall);
            let start_pc = observation.g.start_pc;
            let mut is_system = || match owners.entry(start_pc).or_insert_with(|| runtime.owner(start_pc)) {
                Owner::Program => false,
                Owner::Runtime => true,
                Owner::RuntimeForProgram => runtime.is_system(start_pc, observation.stack.pcs()),
            };
            if skip_system && waits && is_system() {
                return;
            }
            seen.push(Seen::new(runtime, interval, &observation, tick.due_ns));
        });
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
        self.goroutines = seen.len() as u64;
        self.accounting.ticks += 1;
        self.accounting.late_ticks += u64::from(tick.late);
        for seen in seen {
            self.add(seen, tick.interval_ns);
        }
        self.interval.forget_before(tick.due_ns);
        Ok(())
    }

    fn add(&mut self, seen: Seen, interval_ns: u64) {
        let Seen { mut who, labels, stacks, reject } = seen;
        who.labels = self.aggregate.labels(&labels);
        let accounting = &mut self.accounting;
        accounting.expected_ns = accounting.expected_ns.saturating_add(interval_ns);
        match reject {
            None => accounting.accepted += 1,
            Some(Reject::Changed) => accounting.changed += 1,
            Some(Reject::Broken) => accounting.broken += 1,
            Some(Reject::Unmapped) => accounting.unmapped += 1,
        }
        let weight = Weight { count: 1, time_ns: interval_ns };
        match stacks.len() as u64 {
            0 => self.aggregate.add_unplaced(who, weight),
            parts => {
                // One observation, seen by the kernel in several places: each has its part of the interval. The first
                // takes what does not divide.
                let part = interval_ns / parts;
                for (i, stack) in stacks.into_iter().enumerate() {
                    let time_ns = if i == 0 { interval_ns - part * (parts - 1) } else { part };
                    self.aggregate.add(who, stack, Weight { count: u64::from(i == 0), time_ns });
                }
            }
        }
    }

    fn progress(&self, elapsed: Duration) -> Progress {
        let accounting = &self.accounting;
        let rejected = accounting.changed + accounting.broken + accounting.unmapped;
        Progress {
            elapsed,
            goroutines: self.goroutines,
            observations: accounting.accepted + rejected,
            rejected,
            late_ticks: accounting.late_ticks,
        }
    }
}

/// Why a stack was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reject {
    Changed,
    Broken,
    Unmapped,
}

/// One goroutine at one tick.
struct Seen {
    who: Who,
    labels: fgspy_goroutines::labels::Labels,
    stacks: Vec<RawStack>,
    reject: Option<Reject>,
}

impl Seen {
    fn new(runtime: &Runtime, interval: &Interval, observation: &Observation<'_>, due_ns: u64) -> Seen {
        let thread = observation.tid.map_or(ThreadState::Unknown, |tid| interval.thread_state(tid, due_ns));
        let state = state(observation.status, thread);
        let reject = match observation.stack {
            Stack::Whole(_) | Stack::Cut(_) | Stack::OnThread => None,
            Stack::Changed => Some(Reject::Changed),
            Stack::Broken => Some(Reject::Broken),
            Stack::Unmapped => Some(Reject::Unmapped),
        };
        let mut stacks = match state {
            State::Running => interval.stacks_of(runtime, observation),
            _ => Vec::new(),
        };
        if let (true, Stack::Whole(pcs) | Stack::Cut(pcs)) = (stacks.is_empty(), observation.stack) {
            let cut = matches!(observation.stack, Stack::Cut(_));
            stacks.push(RawStack { kernel: Vec::new(), user: pcs.to_vec(), exact_leaf: false, cut });
        }
        let g = observation.g;
        Seen {
            who: Who {
                goid: g.goid,
                start_pc: g.start_pc,
                go_pc: g.go_pc,
                state,
                wait_reason: (state == State::Waiting).then_some(g.wait_reason),
                labels: Default::default(),
            },
            labels: observation.labels.cloned().unwrap_or_default(),
            stacks,
            reject,
        }
    }
}

/// What a goroutine was doing, by the runtime's word and the kernel's.
fn state(status: Status, thread: ThreadState) -> State {
    match (status, thread) {
        (Status::Running | Status::CopyStack, ThreadState::Preempted) => State::RunningOffCpu,
        (Status::Running | Status::CopyStack, _) => State::Running,
        // The runtime calls it a system call; the kernel says it computes: in the kernel, or in C.
        (Status::Syscall, ThreadState::OnCpu) => State::Running,
        (Status::Syscall, _) => State::Syscall,
        (Status::Runnable | Status::Preempted, _) => State::Runnable,
        (Status::Waiting | Status::Leaked, _) => State::Waiting,
    }
}
