//! An HTTP server at half load with each profiler: its latencies, its CPU time, and how long a goroutine of it does not
//! get to run.

mod data;
mod tables;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::Fixture;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use self::data::{Data, Latency, Run};
use super::arms::{ARMS, Arm, shuffled};
use super::{Bench, go, proc};

pub(super) use tables::render;

/// How many goroutines of the server wait for ever.
pub(super) const PARKED: usize = 10_000;

/// What the server says about the profiler in it.
#[derive(Debug, Deserialize)]
struct Report {
    seconds: f64,
    ticks: u64,
}

/// How long a run is in each of its phases.
struct Lengths {
    warm: Duration,
    load: Duration,
    spin: Duration,
}

/// Measures the capacity, then runs all arms at half of it, round by round.
///
/// # Errors
/// When a program does not build or a run fails.
pub(super) fn measure(bench: &Bench) -> Result<Data> {
    let server = go::program(&bench.newest, "server")?;
    let load = go::program(&bench.newest, "load")?;
    let seconds = Duration::from_millis;
    let (lengths, rounds) = if bench.quick {
        (Lengths { warm: seconds(200), load: seconds(1000), spin: seconds(500) }, bench.rounds(2))
    } else {
        (Lengths { warm: seconds(500), load: seconds(4000), spin: seconds(1500) }, bench.rounds(8))
    };
    let capacity = capacity(&server, &load, &lengths)?;
    let rate = (capacity / 200.0).round() * 100.0;
    eprintln!("service: {capacity:.0} requests a second at most; {rate:.0} from now on");
    ensure!(rate > 0.0, "the server answers only {capacity} requests a second");
    let mut runs = Vec::new();
    for round in 0..rounds {
        eprintln!("service: round {} of {rounds}", round + 1);
        for index in shuffled(ARMS.len(), round) {
            let arm = &ARMS[index];
            runs.push(run(bench, &server, &load, arm, round, rate, &lengths).with_context(|| arm.id)?);
        }
    }
    Ok(Data { go: bench.newest.version.clone(), parked: PARKED, capacity, rate, runs })
}

fn capacity(server: &Path, load: &Path, lengths: &Lengths) -> Result<f64> {
    let server = start(server)?;
    let url = url(&server)?;
    put(load, &url, 0.0, lengths.warm)?;
    let most = put(load, &url, 0.0, lengths.load)?;
    Ok(most.requests as f64 / most.seconds)
}

fn run(
    bench: &Bench,
    server: &Path,
    load: &Path,
    arm: &Arm,
    round: usize,
    rate: f64,
    lengths: &Lengths,
) -> Result<Run> {
    let mut server = start(server)?;
    let url = url(&server)?;
    let _: serde_json::Value = ask(&mut server, &format!("start {}", arm.inside))?;
    let fgspy = arm.attach(&bench.fgspy, server.pid())?;
    put(load, &url, rate, lengths.warm)?;
    let before = proc::cpu_time(server.pid())?;
    let latency = put(load, &url, rate, lengths.load)?;
    let cpu_ns = (proc::cpu_time(server.pid())? - before).as_nanos() as f64 / latency.requests as f64;
    let pauses = ask(&mut server, &format!("spin {}ms", lengths.spin.as_millis()))?;
    let report: Report = ask(&mut server, "stop")?;
    let fgspy = fgspy.map(|fgspy| fgspy.finish()).transpose()?;
    server.end()?;
    let ticks_per_s = match &fgspy {
        Some(recorded) => Some(recorded.ticks as f64 / recorded.seconds),
        None => (report.ticks > 0).then(|| report.ticks as f64 / report.seconds),
    };
    Ok(Run { round, arm: arm.id.to_owned(), latency, cpu_ns, pauses, ticks_per_s, fgspy })
}

/// Starts the server and waits until it answers.
///
/// # Errors
/// When it does not.
pub(super) fn start(server: &Path) -> Result<Fixture> {
    Fixture::start(go::command(server).args(["-parked", &PARKED.to_string()]), |line| line == "ready")
}

/// Where a server that was started answers.
///
/// # Errors
/// When it did not say so.
pub(super) fn url(server: &Fixture) -> Result<String> {
    let address = server.announced.iter().find_map(|line| line.strip_prefix("listening on "));
    address.map(str::to_owned).context("the server named no address")
}

/// Gives the server a command and reads its answer.
fn ask<T: DeserializeOwned>(server: &mut Fixture, command: &str) -> Result<T> {
    server.tell(command)?;
    let line = server.line()?;
    serde_json::from_str(&line).with_context(|| format!("the server answered {line:?} to {command:?}"))
}

/// Puts load on the server: as much as it takes, if `rate` is 0.
fn put(load: &Path, url: &str, rate: f64, duration: Duration) -> Result<Latency> {
    let mut command = go::command(load);
    command.args(["-url", url, "-rate", &rate.to_string(), "-for", &format!("{}ms", duration.as_millis())]);
    let output = command.output().context("cannot run load")?;
    ensure!(output.status.success(), "load failed: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("load printed no result")
}
