//! What a profiler needs for 1 to 1,000,000 goroutines, idle and active: CPU time, memory, time to attach.

mod tables;
mod windows;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use fgspy_fixtures::Fixture;
use serde::{Deserialize, Serialize};

use self::windows::Lengths;
use super::arms::shuffled;
use super::fgspy::{Recorded, has_option};
use super::{Bench, go, proc};

pub(super) use tables::render;

/// Memory that a goroutine of the target may need, with what profilers keep of it, in bytes.
const MEMORY_EACH: u64 = 8192;
/// No more wake-ups than this a second, so that the target leaves CPU time for those that measure.
const MOST_WAKE_UPS: usize = 200_000;
/// How often a second each active goroutine wakes up, if there are not too many.
const WAKE_UPS: usize = 10;

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Data {
    go: String,
    /// The ways to run fgspy: a name, and the arguments.
    fgspy: Vec<(String, Vec<String>)>,
    /// Sizes that were not measured, with the reason.
    skipped: Vec<String>,
    runs: Vec<Run>,
    /// For each target, while nobody samples it: what waking up 99 times a second costs by itself, as a share of one core.
    #[serde(default)]
    empty_ticks: Vec<(Cell, f64)>,
}

/// One window of time in which a profiler, or none, sampled a target. Times are in seconds.
#[derive(Debug, Serialize, Deserialize)]
struct Run {
    cell: Cell,
    repetition: usize,
    /// `none`, `fgprof`, or the name of a way to run fgspy.
    profiler: String,
    seconds: f64,
    /// CPU time of the target in that time.
    target_cpu_s: f64,
    /// How often a second the profiler sampled the target.
    ticks_per_s: Option<f64>,
    fgspy: Option<Outside>,
}

/// What fgspy needed.
#[derive(Debug, Serialize, Deserialize)]
struct Outside {
    /// CPU time in the window, by the kernel's account.
    cpu_s: f64,
    /// The most memory until the end of the window, in bytes.
    peak_bytes: u64,
    recorded: Recorded,
}

/// A target: how many goroutines it has and what they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cell {
    goroutines: usize,
    /// How many of them wake up at intervals.
    active: usize,
    /// At what intervals, in milliseconds.
    period_ms: u64,
}

impl Cell {
    fn new(goroutines: usize, active: usize) -> Cell {
        let wake_ups = (active * WAKE_UPS).clamp(1, MOST_WAKE_UPS);
        Cell { goroutines, active, period_ms: (active.max(1) * 1000 / wake_ups) as u64 }
    }

    /// All of them, the smallest first.
    fn all(quick: bool) -> Vec<Cell> {
        if quick {
            return vec![Cell::new(10, 0), Cell::new(10_000, 0), Cell::new(10_000, 100)];
        }
        [1, 10, 100, 1000, 10_000, 100_000, 1_000_000].into_iter().flat_map(Cell::of_size).collect()
    }

    /// Idle, one percent active, all active.
    fn of_size(goroutines: usize) -> Vec<Cell> {
        let mut active = vec![0, goroutines / 100, goroutines];
        active.dedup();
        active.into_iter().map(|active| Cell::new(goroutines, active)).collect()
    }
}

/// Measures every size with every profiler.
///
/// # Errors
/// When a program does not build or a run fails.
pub(super) fn measure(bench: &Bench) -> Result<Data> {
    let target = go::program(&bench.newest, "scale")?;
    let fgspy = ways(&bench.fgspy)?;
    let (mut runs, mut skipped, mut empty_ticks) = (Vec::new(), Vec::new(), Vec::new());
    let cells = match &bench.sizes[..] {
        [] => Cell::all(bench.quick),
        sizes => sizes.iter().flat_map(|size| Cell::of_size(*size as usize)).collect(),
    };
    for cell in cells {
        let Cell { goroutines, active, .. } = cell;
        let wanted = goroutines as u64 * MEMORY_EACH;
        if proc::available_memory().is_some_and(|available| available < wanted) {
            skipped.push(format!("{goroutines} goroutines: {} GiB of memory are not available", (wanted >> 30) + 1));
            continue;
        }
        eprintln!("scale: {goroutines} goroutines, {active} active");
        let context = || format!("{goroutines} goroutines, {active} active");
        let (of_cell, empty) = cell_runs(bench, &target, cell, &fgspy).with_context(context)?;
        runs.extend(of_cell);
        empty_ticks.extend(empty.into_iter().map(|share| (cell, share)));
    }
    Ok(Data { go: bench.newest.version.clone(), fgspy, skipped, runs, empty_ticks })
}

/// The ways to run fgspy that this fgspy has.
fn ways(fgspy: &Path) -> Result<Vec<(String, Vec<String>)>> {
    let mut ways = vec![("fgspy".to_owned(), Vec::new())];
    if has_option(fgspy, "--max-cpu")? {
        for limit in ["5%", "unlimited"] {
            ways.push((format!("fgspy --max-cpu {limit}"), vec!["--max-cpu".to_owned(), limit.to_owned()]));
        }
    }
    Ok(ways)
}

/// Starts one target and measures it with every profiler in turn, and what empty ticks cost meanwhile.
fn cell_runs(
    bench: &Bench,
    target: &Path,
    cell: Cell,
    fgspy: &[(String, Vec<String>)],
) -> Result<(Vec<Run>, Vec<f64>)> {
    let Cell { goroutines, active, period_ms } = cell;
    let parked = goroutines - active;
    let mut command = go::command(target);
    command.args([
        "-parked",
        &parked.to_string(),
        "-active",
        &active.to_string(),
        "-period",
        &format!("{period_ms}ms"),
    ]);
    let mut target = Fixture::start(&mut command, |line| line == "ready")?;
    // Goroutines that were just started all wake up for the first time within a period.
    std::thread::sleep(Duration::from_millis(period_ms.max(100)));
    let lengths = &Lengths::of(cell, bench.quick);
    let (mut runs, mut empty) = (Vec::new(), Vec::new());
    for repetition in 0..bench.rounds(lengths.repetitions) {
        empty.push(windows::empty_ticks(lengths)?);
        for profiler in shuffled(fgspy.len() + 2, repetition) {
            let mut run = match fgspy.get(profiler) {
                Some((name, arguments)) => windows::outside(bench, &target, cell, name, arguments, lengths)?,
                None if profiler == fgspy.len() => windows::without(&target, cell, lengths)?,
                None => windows::inside(&mut target, cell, "fgprof", lengths)?,
            };
            run.repetition = repetition;
            runs.push(run);
        }
    }
    target.end()?;
    Ok((runs, empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_goroutines_wake_up_ten_times_a_second_or_as_often_as_is_possible() {
        assert_eq!(Cell::new(10_000, 100).period_ms, 100);
        assert_eq!(Cell::new(10_000, 10_000).period_ms, 100);
        assert_eq!(Cell::new(100_000, 100_000).period_ms, 500);
        assert_eq!(Cell::new(1_000_000, 1_000_000).period_ms, 5000);
        assert_eq!(Cell::new(1, 0).period_ms, 1000);
    }

    #[test]
    fn cells_differ() {
        let cells = Cell::all(false);
        for (i, cell) in cells.iter().enumerate() {
            assert!(!cells[..i].contains(cell), "{cell:?}");
            assert!(cell.active <= cell.goroutines);
        }
        assert_eq!(cells.len(), 19);
    }
}
