//! What events add to a context switch of the threads that they are for.
//!
//! Two threads of this process hand a byte to and fro through pipes, on one CPU: each byte is a switch. In turns there is no
//! event, none again, and the events that fgspy opens. Another CPU reads what they record, a hundred times a second.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fgspy_perf::{Config, Mode, OnCpu};
use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};

use super::arms::there_and_back;
use super::markdown::{Table, interval_of_times, probability, time};
use super::statistics::{median, signed_rank};
use super::{Bench, proc};

/// One turn.
const TURN: Duration = Duration::from_millis(100);
/// What passes after the events were opened, or were not, before the turn counts.
const SETTLE: Duration = Duration::from_millis(20);
/// Between two readings of what was recorded: as in fgspy.
const DRAIN: Duration = Duration::from_millis(10);

/// The arms: what they are called, and the events that they have, if any: their layout, and whether switches are recorded.
const ARMS: [(&str, Option<(Mode, bool)>); 5] = [
    ("A: no event", None),
    ("A\u{2032}: no event, again", None),
    ("an event for each thread", Some((Mode::Inherited, false))),
    ("an event for each thread, switches recorded: fgspy without CAP_PERFMON", Some((Mode::Inherited, true))),
    ("an event for each CPU: fgspy with CAP_PERFMON", Some((Mode::Cpus, true))),
];

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Data {
    rounds: Vec<[[Turn; 2]; ARMS.len()]>,
}

/// A turn: switches, nanoseconds by the clock, nanoseconds of CPU time of both threads.
type Turn = [u64; 3];

/// Measures all arms in turn.
///
/// # Errors
/// When there are not two CPUs, or the events are not permitted.
pub(super) fn measure(bench: &Bench) -> Result<Data> {
    let rounds = bench.rounds(if bench.quick { 2 } else { 60 });
    let allowed = sched_getaffinity(None)?;
    let mut cpus = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
    let (ours, theirs) = cpus.next().zip(cpus.next()).context("it takes two CPUs")?;
    let pair = Pair::start(theirs)?;
    eprintln!("switches: {rounds} rounds");
    // In a thread of its own, because what it may run on is passed on to all that is started afterwards.
    let measuring = std::thread::scope(|scope| {
        let measuring = scope.spawn(|| {
            stay_on(ours)?;
            (0..rounds).map(|round| self::round(&pair, round)).collect::<Result<Vec<_>>>()
        });
        measuring.join()
    });
    let rounds = measuring.map_err(|_| anyhow::anyhow!("measuring panicked"))??;
    pair.end()?;
    Ok(Data { rounds })
}

fn round(pair: &Pair, round: usize) -> Result<[[Turn; 2]; ARMS.len()]> {
    let mut turns = [[Turn::default(); 2]; ARMS.len()];
    for (arm, which) in there_and_back(ARMS.len(), round) {
        let (title, events) = ARMS[arm];
        let mut events = events.map(|events| open(events).with_context(|| title)).transpose()?;
        pass(SETTLE, events.as_mut());
        let before = pair.progress()?;
        pass(TURN, events.as_mut());
        let after = pair.progress()?;
        turns[arm][which] = std::array::from_fn(|of| after[of].saturating_sub(before[of]));
        ensure!(turns[arm][which].iter().all(|count| *count > 0), "the threads did nothing for a whole turn");
    }
    Ok(turns)
}

/// Opens events for this process.
fn open((mode, switches): (Mode, bool)) -> Result<OnCpu> {
    let config = Config { switches, whole_cpus: mode == Mode::Cpus, ..Config::new(std::process::id()) };
    let events = OnCpu::open(config)?;
    let coverage = events.coverage();
    ensure!(
        coverage.mode == mode,
        "this takes CAP_PERFMON, or kernel.perf_event_paranoid at 0: sudo -E cargo xtask bench switches"
    );
    ensure!(coverage.left_out == 0, "{} threads have no event", coverage.left_out);
    Ok(events)
}

/// Lets time pass, and reads what is recorded.
fn pass(time: Duration, mut events: Option<&mut OnCpu>) {
    let began = Instant::now();
    while began.elapsed() < time {
        std::thread::sleep(DRAIN);
        if let Some(events) = &mut events {
            events.drain(&mut |record| drop(std::hint::black_box(record)));
        }
    }
}

/// Two threads on one CPU.
struct Pair {
    began: Instant,
    switches: Arc<AtomicU64>,
    tids: [u32; 2],
    threads: [JoinHandle<Result<()>>; 2],
    stop: Arc<AtomicU64>,
}

impl Pair {
    fn start(cpu: usize) -> Result<Pair> {
        let ((from_first, to_second), (from_second, to_first)) = (pipe()?, pipe()?);
        let (switches, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (sender, tids) = channel();
        let (second, counter, stopped) = (sender.clone(), Arc::clone(&switches), Arc::clone(&stop));
        let threads = [
            std::thread::spawn(move || {
                introduce(cpu, &sender)?;
                first(to_second, from_second, &counter, &stopped)
            }),
            std::thread::spawn(move || {
                introduce(cpu, &second)?;
                self::second(from_first, to_first)
            }),
        ];
        let tids = [tids.recv()?, tids.recv()?];
        Ok(Pair { began: Instant::now(), switches, tids, threads, stop })
    }

    fn progress(&self) -> Result<Turn> {
        let cpu: Duration = self.tids.iter().map(|tid| proc::thread_time(*tid)).sum::<Result<Duration>>()?;
        let switches = self.switches.load(Ordering::Relaxed);
        Ok([switches, self.began.elapsed().as_nanos() as u64, cpu.as_nanos() as u64])
    }

    fn end(self) -> Result<()> {
        self.stop.store(1, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        Ok(())
    }
}

fn introduce(cpu: usize, to: &Sender<u32>) -> Result<()> {
    stay_on(cpu)?;
    Ok(to.send(u32::try_from(gettid().as_raw_nonzero().get())?)?)
}

fn stay_on(cpu: usize) -> Result<()> {
    let mut only = CpuSet::new();
    only.set(cpu);
    sched_setaffinity(None, &only).with_context(|| format!("cannot stay on CPU {cpu}"))
}

fn first(mut to: PipeWriter, mut from: PipeReader, switches: &AtomicU64, stop: &AtomicU64) -> Result<()> {
    let mut byte = [1];
    while stop.load(Ordering::Relaxed) == 0 {
        to.write_all(&byte)?;
        from.read_exact(&mut byte)?;
        // To the other one and back.
        switches.fetch_add(2, Ordering::Relaxed);
    }
    Ok(())
}

/// Until the first one ends.
fn second(mut from: PipeReader, mut to: PipeWriter) -> Result<()> {
    let mut byte = [0];
    while from.read(&mut byte)? == 1 {
        to.write_all(&byte)?;
    }
    Ok(())
}

/// The section of the report.
pub(super) fn render(data: &Data) -> String {
    let mut table = Table::new(&["", "rounds", "CPU time of a switch", "by the clock", "added", "95 % interval", "p"]);
    for (arm, (title, _)) in ARMS.iter().enumerate() {
        let of = |what| data.each(arm, what);
        let middle = |what| median(&of(what)).map_or(String::new(), time);
        let mut row = vec![(*title).to_owned(), data.rounds.len().to_string(), middle(2), middle(1)];
        let added: Vec<f64> = of(2).iter().zip(data.each(0, 2)).map(|(with, without)| with - without).collect();
        if let Some(tested) = signed_rank(&added).filter(|_| arm > 0) {
            row.extend([time(tested.estimate), interval_of_times(tested.interval), probability(tested.p)]);
        }
        table.row(&row);
    }
    format!(
        "Two threads hand a byte to and fro through pipes, on one CPU: a switch is a write, a read and a change of thread. In turns \
         of {} ms there is no event, none again, or events as fgspy opens them; what they record is read on another CPU. A round \
         has two turns of each arm, in an order that changes and then in the opposite one; no round is left out. The time is CPU \
         time of both threads, without their waiting for other programs; *by the clock*, that is in it. *Added*, with its \
         interval and p, is to A of the same round (Hodges-Lehmann, Wilcoxon's signed-rank test).\n\n{}",
        TURN.as_millis(),
        table.finish()
    )
}

impl Data {
    /// Of each round, nanoseconds of a switch in an arm.
    fn each(&self, arm: usize, what: usize) -> Vec<f64> {
        let each = |turns: &[Turn]| {
            let sum = |of: usize| turns.iter().map(|turn| turn[of]).sum::<u64>() as f64;
            sum(what) / sum(0)
        };
        self.rounds.iter().map(|round| each(&round[arm])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pair_switches_and_ends() {
        let allowed = sched_getaffinity(None).unwrap();
        let cpu = (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu)).unwrap();
        let pair = Pair::start(cpu).unwrap();
        fgspy_fixtures::wait_until("they have switched", || Ok(pair.progress()?[0] > 1000)).unwrap();
        pair.end().unwrap();
    }

    #[test]
    fn what_is_added_is_added_to_the_same_round() {
        let turn = |ns: u64| [[100, 100 * ns, 100 * ns]; 2];
        let rounds =
            (1..=8).map(|i| [1000 * i, 1000 * i, 1000 * i + 500, 1000 * i + 4000, 1000 * i].map(turn)).collect();
        let text = render(&Data { rounds });
        assert!(text.contains("| A\u{2032}: no event, again | 8 | 4.50 µs | 4.50 µs | 0.00 ns | "), "{text}");
        assert!(
            text.contains("| an event for each thread | 8 | 5.00 µs | 5.00 µs | 500 ns | 500 ns … 500 ns | 0.008 |"),
            "{text}"
        );
    }
}
