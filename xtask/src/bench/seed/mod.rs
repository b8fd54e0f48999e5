//! The table of fgprof's issue 31: Go's own benchmarks of `encoding/json` with each profiler.

mod analysis;
mod tables;

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use fgspy_fixtures::Fixture;
use serde::{Deserialize, Serialize};

use super::arms::{ARMS, ARMS_OLDEST, Arm, shuffled};
use super::fgspy::Recorded;
use super::go::{self, JsonBenchmarks};
use super::{Bench, gobench};

pub(super) use tables::render;

/// All benchmarks that both Go versions have but those of an internal cache, of which only the older one has benchmarks.
const BENCHMARKS: &str = "^Benchmark[^T]";

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Data {
    /// The Go versions of the arms: the newest and the oldest.
    go: [String; 2],
    /// `-test.benchtime`.
    benchtime: String,
    /// How many goroutines were parked, in each series of runs.
    levels: Vec<usize>,
    runs: Vec<Run>,
}

/// One run of all benchmarks.
#[derive(Debug, Serialize, Deserialize)]
struct Run {
    round: usize,
    parked: usize,
    arm: String,
    /// For each benchmark, nanoseconds for one operation.
    ns_per_op: BTreeMap<String, f64>,
    /// How often a second the profiler sampled the program.
    ticks_per_s: Option<f64>,
    fgspy: Option<Recorded>,
}

/// What the program says at its end.
#[derive(Debug, Deserialize)]
struct Report {
    seconds: f64,
    ticks: u64,
}

/// Runs all arms, round by round.
///
/// # Errors
/// When a program does not build or a run fails.
pub(super) fn measure(bench: &Bench) -> Result<Data> {
    let newest = go::json_benchmarks(&bench.newest)?;
    let oldest = go::json_benchmarks(&bench.oldest)?;
    let (levels, benchtime, rounds): (&[usize], _, _) = if bench.quick {
        (&[10, 10_000], "10ms", bench.rounds(2))
    } else {
        (&[10, 1000, 10_000, 100_000], "40ms", bench.rounds(10))
    };
    let mut runs = Vec::new();
    for round in 0..rounds {
        for &parked in levels {
            eprintln!("seed: round {} of {rounds}, {parked} goroutines parked", round + 1);
            // The arms with the oldest Go are compared with each other only, so they stay together.
            for arms in [&ARMS[..], &ARMS_OLDEST] {
                for index in shuffled(arms.len(), round) {
                    let arm = &arms[index];
                    let program = if arm.oldest_go { &oldest } else { &newest };
                    let run = run(bench, program, arm, (round, parked), benchtime);
                    runs.push(run.with_context(|| format!("{}, {parked} goroutines parked", arm.id))?);
                }
            }
        }
    }
    Ok(Data {
        go: [bench.newest.version.clone(), bench.oldest.version.clone()],
        benchtime: benchtime.to_owned(),
        levels: levels.to_vec(),
        runs,
    })
}

fn run(
    bench: &Bench,
    program: &JsonBenchmarks,
    arm: &Arm,
    (round, parked): (usize, usize),
    benchtime: &str,
) -> Result<Run> {
    let mut command = go::command(&program.binary);
    command.current_dir(&program.folder).args([
        "-test.run=^$",
        "-test.bench",
        BENCHMARKS,
        "-test.benchtime",
        benchtime,
    ]);
    command.env("FGSPY_BENCH_PARKED", parked.to_string()).env("FGSPY_BENCH_PROFILER", arm.inside);
    let mut fixture = Fixture::start(&mut command, |line| line == "ready")?;
    let fgspy = arm.attach(&bench.fgspy, fixture.pid())?;
    fixture.tell("go")?;
    let mut ns_per_op = BTreeMap::new();
    let report: Report = loop {
        let line = fixture.line()?;
        ns_per_op.extend(gobench::parse(&line));
        if line.starts_with('{') {
            break serde_json::from_str(&line)?;
        }
    };
    anyhow::ensure!(!ns_per_op.is_empty(), "no benchmark ran");
    fixture.wait()?;
    let fgspy = fgspy.map(|fgspy| fgspy.finish()).transpose()?;
    let ticks_per_s = match &fgspy {
        Some(recorded) => Some(recorded.ticks as f64 / recorded.seconds),
        None => (report.ticks > 0).then(|| report.ticks as f64 / report.seconds),
    };
    Ok(Run { round, parked, arm: arm.id.to_owned(), ns_per_op, ticks_per_s, fgspy })
}
