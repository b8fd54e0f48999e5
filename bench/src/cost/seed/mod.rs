//! The table of fgprof's issue 31: Go's own benchmarks of `encoding/json` with each profiler.

mod analysis;
mod data;
mod tables;

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::Fixture;
use serde::Deserialize;

use self::data::{Data, Run};
use super::arms::{ARMS, ARMS_OLDEST, Arm, shuffled};
use super::go::{self, JsonBenchmarks};
use super::statistics::median;
use super::{Bench, gobench};

pub(super) use tables::render;

/// All benchmarks that both Go versions have but those of an internal cache, of which only the older one has benchmarks.
const BENCHMARKS: &str = "^Benchmark[^T]";

/// An arm that takes so many times as long as its base is slow and takes part in one round only.
const SLOW: f64 = 3.0;

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
    // With 100,000 goroutines each collection of garbage takes long, and Go's benchmarks ask for many.
    let (levels, benchtime_ms): (&[(usize, usize)], _) = if bench.quick {
        (&[(10, 2), (10_000, 2)], 15)
    } else {
        (&[(10, 8), (1000, 8), (10_000, 8), (100_000, 6)], 40)
    };
    let rounds = |(parked, rounds): &(usize, usize)| (*parked, bench.rounds(*rounds));
    let levels: Vec<(usize, usize)> = levels.iter().map(rounds).collect();
    let most = levels.iter().map(|(_, rounds)| *rounds).max().unwrap_or(0);
    eprintln!("seed: building, and finding out how often to run each benchmark");
    let newest = Planned::new(go::json_benchmarks(&bench.newest)?, benchtime_ms)?;
    let oldest = Planned::new(go::json_benchmarks(&bench.oldest)?, benchtime_ms)?;
    let mut runs: Vec<Run> = Vec::new();
    for round in 0..most {
        for &(parked, rounds) in levels.iter().filter(|(_, rounds)| round < *rounds) {
            eprint!("seed: round {} of {rounds}, {parked} goroutines parked:", round + 1);
            // The arms with the oldest Go are compared with each other only: they have a process of their own.
            for (arms, program) in [(&ARMS[..], &newest), (&ARMS_OLDEST, &oldest)] {
                let wanted: Vec<&Arm> = arms.iter().filter(|arm| is_wanted(&runs, arms, arm, parked)).collect();
                let context = || format!("round {round}, {parked} goroutines parked");
                runs.extend(process(bench, program, &wanted, round, parked).with_context(context)?);
            }
            eprintln!();
        }
    }
    Ok(Data {
        go: [bench.newest.version.clone(), bench.oldest.version.clone()],
        benchtime_ms,
        levels: levels.into_iter().map(|(parked, _)| parked).collect(),
        runs,
    })
}

/// Whether there is something to find out by running an arm once more: it is not slow, and if it is a base, not all that
/// are compared with it are.
fn is_wanted(runs: &[Run], arms: &[Arm], arm: &Arm, parked: usize) -> bool {
    let compared = arms.iter().filter(|other| other.id != arm.id && other.base == arm.id);
    let slow: Vec<bool> = compared.map(|other| is_slow(runs, other, parked)).collect();
    !is_slow(runs, arm, parked) && (slow.is_empty() || slow.contains(&false))
}

/// Whether it was seen that an arm takes so long that there is no point in finding out more exactly how long.
fn is_slow(runs: &[Run], arm: &Arm, parked: usize) -> bool {
    let seconds = |id: &str| {
        let runs = runs.iter().filter(|run| run.arm == id && run.parked == parked);
        median(&runs.map(|run| run.seconds).collect::<Vec<_>>())
    };
    seconds(arm.id).zip(seconds(arm.base)).is_some_and(|(arm, base)| arm > SLOW * base)
}

/// A program with the number of times that each benchmark is to run: the same work in every arm.
struct Planned {
    program: JsonBenchmarks,
    plan: String,
    /// Each benchmark once: what is done once in a process is done by then, and the heap is as large as it will be.
    warm: String,
}

impl Planned {
    /// Finds the numbers with which a benchmark takes about `benchtime_ms` here when nothing else runs.
    fn new(program: JsonBenchmarks, benchtime_ms: u64) -> Result<Planned> {
        let mut command = command(&program, 0);
        let mut fixture = Fixture::start(command.args(["-test.bench", BENCHMARKS, "-test.benchtime=15ms"]), ready)?;
        let (times, _) = pass(&mut fixture, "none", "")?;
        let count = |ns: &f64| (benchtime_ms as f64 * 1e6 / ns).ceil();
        let plan = times.iter().map(|(name, ns)| format!(" {name}={}", count(ns))).collect();
        let warm = times.keys().map(|name| format!(" {name}=1")).collect();
        Ok(Planned { program, plan, warm })
    }
}

/// Starts one process and lets each arm have its turn in it. What differs between processes, such as where things are in
/// memory, is the same for all arms.
fn process(bench: &Bench, planned: &Planned, arms: &[&Arm], round: usize, parked: usize) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    if arms.is_empty() {
        return Ok(runs);
    }
    let mut fixture = Fixture::start(&mut command(&planned.program, parked), ready)?;
    pass(&mut fixture, "none", &planned.warm)?;
    for index in shuffled(arms.len(), round) {
        let arm = arms[index];
        let fgspy = arm.attach(&bench.fgspy, fixture.pid()).with_context(|| arm.id)?;
        let (ns_per_op, report) = pass(&mut fixture, arm.inside, &planned.plan).with_context(|| arm.id)?;
        let fgspy = fgspy.map(|fgspy| fgspy.finish()).transpose()?;
        let ticks_per_s = match &fgspy {
            Some(recorded) => Some(recorded.ticks as f64 / recorded.seconds),
            None => (report.ticks > 0).then(|| report.ticks as f64 / report.seconds),
        };
        eprint!(" {} {:.1} s,", arm.id, report.seconds);
        let seconds = report.seconds;
        runs.push(Run { round, parked, arm: arm.id.to_owned(), seconds, ns_per_op, ticks_per_s, fgspy });
    }
    let (status, errors) = fixture.end()?;
    ensure!(status.success(), "the benchmarks failed ({status}):\n{errors}");
    Ok(runs)
}

fn command(program: &JsonBenchmarks, parked: usize) -> Command {
    let mut command = go::command(&program.binary);
    command.current_dir(&program.folder).arg("-test.run=^$").env("FGSPY_BENCH_PARKED", parked.to_string());
    command
}

fn ready(line: &str) -> bool {
    line == "ready"
}

/// Runs the benchmarks once with a profiler in the program: gives nanoseconds for one operation of each, and what the
/// profiler did.
fn pass(fixture: &mut Fixture, profiler: &str, plan: &str) -> Result<(BTreeMap<String, f64>, Report)> {
    fixture.tell(&format!("pass {profiler}{plan}"))?;
    let mut ns_per_op = BTreeMap::new();
    loop {
        let line = fixture.line()?;
        ns_per_op.extend(gobench::parse(&line));
        if line.starts_with('{') {
            ensure!(!ns_per_op.is_empty(), "no benchmark ran");
            return Ok((ns_per_op, serde_json::from_str(&line)?));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_arms_and_what_only_they_are_compared_with_run_once() {
        let run = |arm: &str, seconds| Run {
            round: 0,
            parked: 10,
            arm: arm.to_owned(),
            seconds,
            ns_per_op: BTreeMap::new(),
            ticks_per_s: None,
            fgspy: None,
        };
        let runs = [
            run("none", 1.0),
            run("fgspy", 1.1),
            run("stw", 3.1),
            run("fgprof", 2.9),
            run("none-oldest", 1.0),
            run("stw-oldest", 4.0),
        ];
        let wanted = |runs: &[Run], arms: &[Arm], parked| -> Vec<&str> {
            arms.iter().filter(|arm| is_wanted(runs, arms, arm, parked)).map(|arm| arm.id).collect()
        };
        assert_eq!(wanted(&runs, &ARMS, 10), ["none", "control", "fgspy", "fgprof"]);
        assert_eq!(wanted(&runs, &ARMS_OLDEST, 10), [""; 0]);
        assert_eq!(wanted(&runs, &ARMS_OLDEST, 1000), ["none-oldest", "stw-oldest"]);
        assert_eq!(wanted(&runs[..4], &ARMS_OLDEST, 10), ["none-oldest", "stw-oldest"]);
    }
}
