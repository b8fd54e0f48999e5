//! One tick of a recording: choose, read, credit, and learn what it cost.

use std::time::Duration;

use fastrand::Rng;
use fgspy_goroutines::request::{SampledServing, SampledStack};
use fgspy_goroutines::{Active, ActiveFinder, Look, Reader, Runtime, Wanted};
use fgspy_memory::{Fate, Memory, ReadError, own_thread_cpu_time};
use fgspy_perf::{OnCpu, monotonic_ns};
use fgspy_profile::Accounting;

use crate::choose::{CERTAIN, Choice, Chooser, Reading, Spent};
use crate::estimate::Replicates;
use crate::observe::{Observer, Slot};
use crate::on_cpu::{Interval, Named};
use crate::options::{Ended, Options, Progress, Session};
use crate::tick::{Clock, Now, Tick};

/// Goroutines of a first look that are read together.
const FIRST_LOOK: usize = 8192;

/// The cost of reads is measured at one in so many ticks, and wherever lots decided that there are any.
const MEASURED: u32 = 8;

/// What is kept from tick to tick.
pub(crate) struct TickRunner {
    reader: Reader,
    finder: ActiveFinder,
    chooser: Chooser,
    choice: Choice,
    active: Active<u64>,
    pub(crate) interval: Interval,
    pub(crate) observer: Observer,
    /// By the kernel's clock, when its samples were last taken to be of goroutines: what comes later is of the next tick.
    sampled_ns: u64,
    /// By the same clock, when it was noted for the last time that samples have been collected.
    collected_ns: u64,
    max_memory: usize,
    pub(crate) ticks: u32,
    pub(crate) now_ns: u64,
    /// When the recording began, in nanoseconds of `CLOCK_MONOTONIC`.
    start_ns: u64,
    /// When the tick before began, by the clock.
    previous_tick_ns: u64,
    /// CPU time of this thread when the last tick was over.
    spent: Duration,
}

impl TickRunner {
    /// The state before the first tick of a recording that began at `start_ns` of `CLOCK_MONOTONIC`.
    pub(crate) fn new(
        runtime: &Runtime,
        options: Options,
        mut rng: Rng,
        on_cpu: Option<&OnCpu>,
        start_ns: u64,
    ) -> TickRunner {
        let reader = options.requests.map_or_else(Reader::new, |wanted| Reader::with_requests(runtime, wanted));
        let interval = Interval::new(on_cpu, rng.fork());
        let replicates = Replicates::new(rng.fork());
        let chooser = Chooser::new(options.reading, rng);
        let max_cpu = match options.reading {
            Reading::Budget { max_cpu } => Some(max_cpu),
            Reading::Everything | Reading::Share { .. } => None,
        };
        let accounting = Accounting { rate_hz: options.rate_hz, max_cpu, ..Accounting::default() };
        let spent = spent(&chooser);
        let mut observer = Observer::new(accounting, options, replicates);
        observer.serves_nothing = !reader.finds_requests();
        TickRunner {
            spent,
            reader,
            finder: ActiveFinder::default(),
            chooser,
            choice: Choice::default(),
            active: Active::default(),
            interval,
            observer,
            sampled_ns: u64::MAX,
            collected_ns: u64::MAX,
            max_memory: options.max_memory,
            ticks: 0,
            now_ns: 0,
            start_ns,
            previous_tick_ns: 0,
        }
    }

    /// Reads goroutines, and takes what was seen for the time since the previous tick.
    ///
    /// A tick in which the target ends counts for nothing: which of its goroutines were read is an accident.
    pub(crate) fn run(&mut self, session: &mut Session, tick: Tick) -> Result<(), Ended> {
        let Session { process, memory, runtime, on_cpu } = session;
        if let Some(on_cpu) = on_cpu {
            self.interval.refill(on_cpu);
        }
        if self.interval.exec {
            return Err(Ended::TargetReplaced);
        }
        let now_ns = self.now_ns.saturating_add(tick.interval_ns);
        let clock = Clock::at(self.start_ns, tick.now_ns);
        let now = Now { tick: self.ticks + 1, previous_ns: self.now_ns, now_ns, due_ns: tick.due_ns, clock };
        // `still_same` below vouches for all reads of the tick.
        let read = self.read(runtime, &memory.unchecked(), now, tick.period_ns);
        let fate = match read {
            Err(ReadError::TargetGone) => process.fate_after_loss(),
            _ => process.still_same(),
        };
        let reading = match (fate, read) {
            (Fate::Exited, _) => return Err(Ended::TargetExited),
            (Fate::Execed, _) => return Err(Ended::TargetReplaced),
            (Fate::Same, Err(_)) => return Err(Ended::Denied),
            (Fate::Same, Ok(reading)) => reading,
        };
        self.commit(now);
        self.observer.accounting.late_ticks += u64::from(tick.late);
        let interval_us = tick.interval_ns / 1000;
        let squared = &mut self.observer.accounting.squared_intervals_us2;
        *squared = squared.saturating_add(interval_us.saturating_mul(interval_us));
        self.interval.forget_before(tick.due_ns);
        self.keep_within_memory();
        self.account(tick, reading);
        Ok(())
    }

    /// The tick counts.
    pub(crate) fn commit(&mut self, now: Now) {
        self.observer.commit(now);
        (self.ticks, self.now_ns) = (now.tick, now.now_ns);
        self.observer.accounting.ticks += 1;
    }

    /// Chooses, reads and takes what was seen. Says how much CPU time the reads took, if that was measured.
    pub(crate) fn read(
        &mut self,
        runtime: &Runtime,
        memory: &dyn Memory,
        now: Now,
        period_ns: u64,
    ) -> Result<Option<Duration>, ReadError> {
        let collected_before_ns = self.collected_ns;
        if self.interval.is_sampled() {
            self.reader.samples_collected(runtime, memory)?;
            self.collected_ns = monotonic_ns();
        }
        if let Some(len) = self.finder.find(runtime, memory, &mut self.active)? {
            self.reader.refresh(runtime, memory, len)?;
        }
        let all = self.reader.all();
        let numbers = |found: &[u64]| found.iter().filter_map(|&address| all.find(address)).collect();
        let active = Active { running: numbers(&self.active.running), queued: numbers(&self.active.queued) };
        self.observer.expect(&active, now);
        let slots = &mut self.observer.slots;
        let first_new = slots.all.len();
        // What is on the list only now was not there at the tick before.
        let (looked_ns, known_ns) = (now.previous_ns, self.previous_tick_ns);
        slots.all.resize(all.len(), Slot { looked_ns, known_ns, ..Slot::default() });
        self.previous_tick_ns = now.clock.tick_ns();
        let tick = (now.tick, period_ns as f64);
        let is_first_look = self.chooser.choose(&mut self.choice, slots, all, tick, &active, first_new);
        // What reads cost is measured now and then: asking for the time is a system call too.
        let is_measured = is_first_look || self.choice.is_drawn || self.ticks.is_multiple_of(MEASURED);
        let before = is_measured.then(|| spent(&self.chooser));
        if is_first_look {
            self.first_look(runtime, memory, now, first_new as u32)?;
        }
        let TickRunner { reader, chooser, choice, interval, observer, sampled_ns, .. } = self;
        let mut samples: Vec<Named> =
            interval.growing(runtime, memory, reader.all())?.into_iter().map(Named::from).collect();
        samples.extend(interval.named(runtime, reader.all()));
        let known_before = observer.before(samples.iter(), now);
        reader.read(runtime, memory, &choice.wanted, &mut |asked, sight| {
            if let (Some(wanted), Some(odds)) = (choice.wanted.get(asked), choice.odds.get(asked)) {
                observer.observe(runtime, interval, now, (wanted.index, *odds), sight);
            }
        })?;
        observer.adopt(now);
        if !observer.asked().is_empty() {
            let told = reader.parentage(runtime, memory, observer.asked())?;
            observer.answered(told, now);
        }
        let reading = before.map(|before| spent(chooser).saturating_sub(before));
        let stacks: Vec<SampledStack<'_>> = samples.iter().filter_map(Named::sampled_stack).collect();
        // Of a stack that is not whole.
        let otherwise = if reader.serves_nothing() { SampledServing::Nothing } else { SampledServing::Unknown };
        let mut found = reader.served_when_sampled(runtime, memory, &stacks)?.into_iter();
        let of_sample = |sample: &Named| sample.sampled_stack().and_then(|_| found.next());
        let mut served: Vec<_> =
            samples.iter().map(of_sample).map(|served| served.unwrap_or(otherwise.clone())).collect();
        for (served, _) in served.iter_mut().zip(&samples).filter(|(_, sample)| sample.time_ns < collected_before_ns) {
            if matches!(served, SampledServing::Serving(_)) {
                *served = SampledServing::Unknown;
            }
        }
        let since_ns = std::mem::replace(sampled_ns, monotonic_ns());
        observer.see_on_cpu(samples.into_iter().zip(served), &known_before, now, since_ns);
        Ok(reading)
    }

    /// Looks at the g's of goroutines that are new, so that they count from now on. A part at a time: this may be all there
    /// are.
    fn first_look(
        &mut self,
        runtime: &Runtime,
        memory: &dyn Memory,
        now: Now,
        first_new: u32,
    ) -> Result<(), ReadError> {
        let TickRunner { reader, interval, observer, .. } = self;
        let new: Vec<u32> = reader.all().runs().flatten().copied().filter(|&index| index >= first_new).collect();
        for part in new.chunks(FIRST_LOOK) {
            let wanted: Vec<Wanted> = part.iter().map(|&index| Wanted { index, look: Look::G }).collect();
            reader.read(runtime, memory, &wanted, &mut |asked, sight| {
                if let Some(wanted) = wanted.get(asked) {
                    observer.observe(runtime, interval, now, (wanted.index, CERTAIN), sight);
                }
            })?;
        }
        Ok(())
    }

    /// Frees what can be done without.
    fn keep_within_memory(&mut self) {
        if !self.observer.is_anonymous() && self.observer.bytes() > self.max_memory {
            self.observer.forget_goroutines();
            let remark = "more goroutines came and went than can be told apart within --max-memory: \
                          times are right, but not which goroutine spent them";
            self.observer.accounting.remarks.push(remark.to_owned());
        }
    }

    /// Tells the budget what the tick cost. The first look at all goroutines is not held against it: it would be paid
    /// for by reading nothing for a long time.
    fn account(&mut self, tick: Tick, reading: Option<Duration>) {
        let spent = spent(&self.chooser);
        let whole_ns = spent.saturating_sub(self.spent).as_nanos() as u64;
        self.spent = spent;
        if self.ticks == 1 {
            self.observer.accounting.first_look_ns = whole_ns;
        } else if let Some(budget) = self.chooser.budget.as_mut() {
            let reads = self.choice.wanted.len() as u64;
            let reading_ns = reading.map(|reading| reading.as_nanos() as u64);
            budget.settle(Spent { whole_ns, reading_ns, reads, interval_ns: tick.interval_ns });
        }
    }

    /// How often a request was not found, for the user.
    pub(crate) fn missed_requests(&self) -> Option<String> {
        let counts = self.reader.request_counts();
        let title = if counts.missed_many() { "many requests were not found" } else { "requests" };
        counts.missed().map(|missed| format!("{title}: {missed}"))
    }

    pub(crate) fn progress(&self, elapsed: Duration) -> Progress {
        let accounting = &self.observer.accounting;
        Progress {
            elapsed,
            goroutines: self.observer.live,
            observations: accounting.observations(),
            rejected: accounting.rejected(),
            late_ticks: accounting.late_ticks,
        }
    }
}

/// The CPU time of this thread, which is asked for only where there is a budget of it.
fn spent(chooser: &Chooser) -> Duration {
    if chooser.budget.is_some() { own_thread_cpu_time() } else { Duration::ZERO }
}
