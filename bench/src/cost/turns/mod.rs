//! What fgspy costs its target, so finely interleaved that the machine's own ups and downs fall on all arms alike.
//!
//! One target and one recording go on throughout, and fgspy is stopped (SIGSTOP) and continued in turns. Two more processes,
//! which do nothing, are stopped and continued just like it in turns of their own: they are the other two arms.
//! What the kernel does for a stopped fgspy, a timer interrupt for each CPU, is in all arms.

mod data;
mod tables;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::{Fixture, Signal};
use rustix::process::{Pid, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity};

use self::data::{ARMS, Data, Level, Round, Turn, Work};
use super::arms::there_and_back;
use super::fgspy::Attached;
use super::{Bench, go};

pub(super) use tables::render;

/// One turn. What disturbs a turn on a virtual machine lasts longer than it: of the same time, more and shorter turns find
/// smaller differences. It has two ticks of fgspy.
const TURN: Duration = Duration::from_millis(20);
/// What passes after fgspy was continued before the turn counts: longer than a tick, so that the one that it has missed
/// is not in the turn.
const SETTLE: Duration = Duration::from_millis(12);
/// fgspy runs in one turn of three, but earns for all of them: with a third of its default of 1 % it may use as much while it
/// runs as one that is never stopped.
const MAX_CPU: &str = "0.333%";

/// So many numbers of the target's answers go on rising.
const SUMS: usize = 3;

/// Measures each number of parked goroutines in turn.
///
/// # Errors
/// When a program does not build or a run fails.
pub(super) fn measure(bench: &Bench) -> Result<Data> {
    let target = go::program(&bench.newest, "turns")?;
    let rounds = bench.rounds(if bench.quick { 10 } else { 1000 });
    let levels = [(Work::Values, 10), (Work::Values, 10_000), (Work::Requests, 10_000)];
    let levels = levels.into_iter().map(|(work, parked)| {
        eprintln!("turns: {work:?}, {parked} goroutines parked, {rounds} rounds");
        level(bench, &target, (work, parked), rounds).with_context(|| format!("{work:?}, {parked} goroutines parked"))
    });
    Ok(Data {
        go: bench.newest.version.clone(),
        turn_ms: TURN.as_secs_f64() * 1e3,
        settle_ms: SETTLE.as_secs_f64() * 1e3,
        levels: levels.collect::<Result<_>>()?,
    })
}

fn level(bench: &Bench, target: &Path, (work, parked): (Work, usize), rounds: usize) -> Result<Level> {
    let mut command = go::command(target);
    command.args(["-parked", &parked.to_string(), "-cpu", &last_cpu()?.to_string()]);
    if work == Work::Requests {
        command.arg("-requests");
    }
    let mut target = Fixture::start(&mut command, |line| line == "ready")?;
    let idle = [Idle::start()?, Idle::start()?];
    let fgspy = Attached::attach(&bench.fgspy, target.pid(), &["--max-cpu", MAX_CPU])?;
    let run = |arm: usize, on: bool| idle.get(arm).map_or_else(|| fgspy.run(on), |idle| idle.run(on));
    for arm in 0..ARMS {
        run(arm, false)?;
    }
    let (mut measured, mut running) = (Vec::new(), Duration::ZERO);
    for round in 0..rounds {
        let mut turns = Round::default();
        for (arm, which) in there_and_back(ARMS, round) {
            let began = Instant::now();
            run(arm, true)?;
            std::thread::sleep(SETTLE);
            let before = progress(&mut target, "collect")?;
            std::thread::sleep(TURN);
            let after = progress(&mut target, "")?;
            run(arm, false)?;
            if arm == idle.len() {
                running += began.elapsed();
            }
            let since = |of: usize| if of < SUMS { after[of].saturating_sub(before[of]) } else { after[of] };
            let turn = std::array::from_fn(since);
            ensure!(turn.iter().all(|count| *count > 0), "the target did nothing for {} ms", TURN.as_millis());
            turns[arm][which] = turn;
        }
        measured.push(turns);
    }
    fgspy.run(true)?;
    let recorded = fgspy.finish()?;
    Ok(Level { work, parked, rounds: measured, running_s: running.as_secs_f64(), recorded })
}

/// The last of the CPUs that we may use: the first ones are where machines handle most interrupts.
fn last_cpu() -> Result<usize> {
    let allowed = sched_getaffinity(None)?;
    (0..CpuSet::MAX_CPU).rev().find(|cpu| allowed.is_set(*cpu)).context("no CPU is allowed")
}

/// How far the target is: what is in a [`Turn`], since its start. With `collect` it collects its garbage first.
fn progress(target: &mut Fixture, command: &str) -> Result<Turn> {
    target.tell(command)?;
    let line = target.line()?;
    let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>().with_context(|| line.clone())?;
    Turn::try_from(numbers.as_slice()).with_context(|| line.clone())
}

/// A process that does nothing, to be stopped and continued like fgspy. It is killed when this is dropped.
struct Idle(Child);

impl Idle {
    fn start() -> Result<Idle> {
        let mut command = Command::new("sleep");
        command.arg("infinity").stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Idle(command.spawn().context("cannot run sleep")?))
    }

    fn run(&self, on: bool) -> Result<()> {
        let signal = if on { Signal::CONT } else { Signal::STOP };
        kill_process(Pid::from_child(&self.0), signal).context("sleep has ended")
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
