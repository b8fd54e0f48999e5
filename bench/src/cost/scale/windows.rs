//! Windows of time in which a target is watched, with a profiler or without.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fgspy_fixtures::Fixture;
use serde::Deserialize;

use super::{Cell, Outside, Run};
use crate::cost::fgspy::Attached;
use crate::cost::{Bench, proc};

/// How long things take.
pub(super) struct Lengths {
    /// From the first sample to the window: what is done once is done by then.
    settle: Duration,
    /// The window.
    window: Duration,
    /// How often each profiler has its turn.
    pub(super) repetitions: usize,
}

impl Lengths {
    /// Those for a target; of a million goroutines, a single sample can take seconds.
    pub(super) fn of(cell: Cell, quick: bool) -> Lengths {
        let (settle, window, repetitions) = match (quick, cell.goroutines) {
            (true, _) => (200, 1000, 1),
            (false, 1_000_000..) => (2000, 4000, 1),
            (false, _) => (500, 1500, 2),
        };
        Lengths { settle: Duration::from_millis(settle), window: Duration::from_millis(window), repetitions }
    }
}

/// What the target says about the profiler in it.
#[derive(Debug, Deserialize)]
struct Report {
    seconds: f64,
    ticks: u64,
}

/// Watches the target alone.
pub(super) fn without(target: &Fixture, cell: Cell, lengths: &Lengths) -> Result<Run> {
    let (seconds, target_cpu_s, ()) = watch(target, lengths.window, || Ok(()))?;
    Ok(Run { cell, repetition: 0, profiler: "none".to_owned(), seconds, target_cpu_s, ticks_per_s: None, fgspy: None })
}

/// The CPU time, as a share of one core, of a thread that wakes up 99 times a second and goes back to sleep: what any
/// profiler of that rate pays here before it does anything.
pub(super) fn empty_ticks(lengths: &Lengths) -> Result<f64> {
    const PERIOD: Duration = Duration::from_nanos(1_000_000_000 / 99);
    let window = lengths.window;
    std::thread::spawn(move || {
        let (began, before) = (Instant::now(), proc::thread_cpu_time()?);
        let mut due = began;
        while began.elapsed() < window {
            due += PERIOD;
            sleep(due.saturating_duration_since(Instant::now()));
        }
        let spent = proc::thread_cpu_time()?.saturating_sub(before);
        Ok(spent.as_secs_f64() / began.elapsed().as_secs_f64())
    })
    .join()
    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Watches the target while a profiler in it samples.
pub(super) fn inside(target: &mut Fixture, cell: Cell, profiler: &str, lengths: &Lengths) -> Result<Run> {
    target.tell(&format!("start {profiler}"))?;
    target.line()?;
    sleep(lengths.settle);
    let (seconds, target_cpu_s, ()) = watch(target, lengths.window, || Ok(()))?;
    target.tell("stop")?;
    let report: Report = serde_json::from_str(&target.line()?).context("the target reported nothing")?;
    let ticks_per_s = (report.ticks > 0).then(|| report.ticks as f64 / report.seconds);
    Ok(Run { cell, repetition: 0, profiler: profiler.to_owned(), seconds, target_cpu_s, ticks_per_s, fgspy: None })
}

/// Watches the target and fgspy while that samples from outside.
pub(super) fn outside(
    bench: &Bench,
    target: &Fixture,
    cell: Cell,
    name: &str,
    arguments: &[String],
    lengths: &Lengths,
) -> Result<Run> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let fgspy = Attached::attach(&bench.fgspy, target.pid(), &arguments)?;
    sleep(lengths.settle);
    let before = fgspy.cpu_time()?;
    let (seconds, target_cpu_s, after) = watch(target, lengths.window, || fgspy.cpu_time())?;
    let peak_bytes = fgspy.peak_memory();
    let recorded = fgspy.finish()?;
    Ok(Run {
        cell,
        repetition: 0,
        profiler: name.to_owned(),
        seconds,
        target_cpu_s,
        ticks_per_s: Some(recorded.ticks as f64 / recorded.seconds),
        fgspy: Some(Outside { cpu_s: after.saturating_sub(before).as_secs_f64(), peak_bytes, recorded }),
    })
}

/// Lets a window of time pass: gives its length and the target's CPU time in seconds, and what `last` gives at its end.
fn watch<T>(target: &Fixture, window: Duration, last: impl FnOnce() -> Result<T>) -> Result<(f64, f64, T)> {
    let (began, before) = (Instant::now(), proc::cpu_time(target.pid())?);
    sleep(window);
    let value = last()?;
    let after = proc::cpu_time(target.pid())?;
    Ok((began.elapsed().as_secs_f64(), after.saturating_sub(before).as_secs_f64(), value))
}
