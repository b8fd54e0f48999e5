//! What a profiler needs for 1 to 1,000,000 goroutines, idle and active: CPU time, memory, time to attach.

mod data;
mod tables;
mod windows;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use fgspy_fixtures::Fixture;

use self::data::{Cell, Data, Outside, Run};
use self::windows::Lengths;
use super::arms::shuffled;
use super::fgspy::has_option;
use super::{Bench, go, proc};

pub(super) use tables::render;

/// Memory that a goroutine of the target may need, with what profilers keep of it, in bytes.
const MEMORY_EACH: u64 = 8192;
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
