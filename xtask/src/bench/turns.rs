//! What fgspy costs its target, so finely interleaved that the machine's own ups and downs fall on all arms alike.
//!
//! On a virtual machine one run of a benchmark differs from the next by a tenth. Neighbouring tenths of a second differ by
//! less, and there are many of them: one recording goes on throughout, and fgspy is stopped (SIGSTOP) and continued in
//! turns. What the kernel does for a stopped fgspy, a timer interrupt for each CPU, is in all arms.

use std::time::Duration;

use anyhow::{Context, Result};
use fgspy_fixtures::Fixture;
use serde::{Deserialize, Serialize};

use super::arms::shuffled;
use super::fgspy::{Attached, Recorded};
use super::markdown::{Table, change, interval, probability, share, thousands};
use super::statistics::{compare, detectable_ratio, log_ratios};
use super::words::{Line, conclusions};
use super::{Bench, go};

/// One turn.
const TURN: Duration = Duration::from_millis(100);
/// What passes after fgspy was stopped or continued before the turn counts: it has a late tick to make up for.
const SETTLE: Duration = Duration::from_millis(25);

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Data {
    go: String,
    levels: Vec<Level>,
}

/// With one number of parked goroutines.
#[derive(Debug, Serialize, Deserialize)]
struct Level {
    parked: usize,
    /// For each round, nanoseconds per value without fgspy, without it again, and with it.
    rounds: Vec<[f64; 3]>,
    recorded: Recorded,
}

/// Measures each number of parked goroutines in turn.
///
/// # Errors
/// When a program does not build or a run fails.
pub(super) fn measure(bench: &Bench) -> Result<Data> {
    let target = go::program(&bench.newest, "turns")?;
    let rounds = bench.rounds(if bench.quick { 10 } else { 600 });
    let levels = [10, 10_000].into_iter().map(|parked| {
        eprintln!("turns: {parked} goroutines parked, {rounds} rounds");
        level(bench, &target, parked, rounds).with_context(|| format!("{parked} goroutines parked"))
    });
    Ok(Data { go: bench.newest.version.clone(), levels: levels.collect::<Result<_>>()? })
}

fn level(bench: &Bench, target: &std::path::Path, parked: usize, rounds: usize) -> Result<Level> {
    let mut command = go::command(target);
    command.args(["-parked", &parked.to_string()]);
    let mut target = Fixture::start(&mut command, |line| line == "ready")?;
    let fgspy = Attached::attach(&bench.fgspy, target.pid(), &[])?;
    let mut measured = Vec::new();
    for round in 0..rounds {
        let mut times = [0.0; 3];
        for arm in shuffled(times.len(), round) {
            fgspy.run(arm == 2)?;
            std::thread::sleep(SETTLE);
            let before = progress(&mut target)?;
            std::thread::sleep(TURN);
            let after = progress(&mut target)?;
            times[arm] = (after.1 - before.1) / (after.0 - before.0).max(1.0);
        }
        measured.push(times);
    }
    fgspy.run(true)?;
    let recorded = fgspy.finish()?;
    Ok(Level { parked, rounds: measured, recorded })
}

/// How many values the target has done, and after how many nanoseconds.
fn progress(target: &mut Fixture) -> Result<(f64, f64)> {
    target.tell("")?;
    let line = target.line()?;
    let (done, time) = line.split_once(' ').with_context(|| line.clone())?;
    Ok((done.parse()?, time.parse()?))
}

/// The section of the report.
pub(super) fn render(data: &Data) -> String {
    let mut text = format!(
        "One goroutine of a program ({}) encodes and decodes a small JSON value without a break. One recording with fgspy's \
         defaults goes on all the time; in turns of {} ms, in an order that changes, fgspy is stopped, stopped again, and \
         continued. Each round has one turn of each; the time for a value is compared within rounds.\n",
        data.go,
        TURN.as_millis()
    );
    let mut table = Table::new(&["arm", "parked", "rounds", "change", "95 % interval", "p", "fgspy's CPU, of a core"]);
    let mut lines = Vec::new();
    for level in &data.levels {
        let pairs = |arm: usize| level.rounds.iter().map(|times| (times[arm], times[0])).collect::<Vec<_>>();
        let detectable = detectable_ratio(&log_ratios(&pairs(1)));
        for (arm, title) in [(1, "A′: stopped, again"), (2, "fgspy")] {
            let Some(comparison) = compare(&pairs(arm)) else { continue };
            let own_cpu = level.recorded.own_cpu_s / level.recorded.seconds;
            table.row(&[
                title.to_owned(),
                thousands(level.parked),
                level.rounds.len().to_string(),
                change(comparison.ratio),
                interval(&comparison),
                probability(comparison.p),
                // It is stopped two thirds of the time.
                if arm == 2 { share(3.0 * own_cpu) } else { String::new() },
            ]);
            let title = format!("{} parked, {title}", thousands(level.parked));
            lines.push(Line { title, comparison, detectable });
        }
    }
    text += &format!("\n{}{}", table.finish(), conclusions(&lines, "slower", "faster"));
    text
}
