//! What `fgspy trace` costs a server at full speed.
//!
//! One server and one load go on throughout; in turns there are no probes, none again, probes at the begin and the end of
//! requests, probes at all changes of state, and the same at instructions that the kernel has to step through.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::requests::{Load, SentRequest, Service};
use fgspy_fixtures::{Signal, Variant, build};
use rustix::process::{Pid, kill_process};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::Bench;
use super::arms::shuffled;
use super::markdown::{Table, change, interval, number, probability};
use super::statistics::{compare, detectable_ratio, log_ratios, median};
use super::words::{Line, conclusions};

/// One turn.
const TURN: Duration = Duration::from_millis(1500);
/// What passes after probes were set or taken out before the turn counts.
const SETTLE: Duration = Duration::from_millis(200);

/// The arms: what they are called, and the arguments of `fgspy trace`, if it is there.
const ARMS: [(&str, Option<&[&str]>); 5] = [
    ("A: no probes", None),
    ("A\u{2032}: no probes, again", None),
    ("requests only (`--states off`)", Some(&["--states", "off"])),
    ("all states", Some(&[])),
    ("all states, stepped through", Some(&["--stepped"])),
];

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Data {
    go: String,
    /// For each round, requests a second in each arm.
    rounds: Vec<[f64; ARMS.len()]>,
}

/// Measures all arms in turn.
///
/// # Errors
/// When a program does not build, or fgspy may not trace here.
pub(super) fn measure(bench: &Bench) -> Result<Data> {
    let rounds = bench.rounds(if bench.quick { 2 } else { 30 });
    let binary = build("requests", &bench.newest, Variant::Plain)?;
    let service = Service::start(&binary, &[], &[])?;
    let ways = service.addresses.iter().filter(|(way, _)| way.as_str() == "http1");
    let load = Load::start(&binary, ways, &["-clients=8", "-mode", "short"])?;
    let mut turns = Vec::new();
    for round in 0..rounds {
        eprintln!("trace: round {} of {rounds}", round + 1);
        let mut spans = [(0, 0); ARMS.len()];
        for arm in shuffled(ARMS.len(), round) {
            spans[arm] = turn(bench, service.fixture.pid(), ARMS[arm].1)?;
        }
        turns.push(spans);
    }
    let mut ends: Vec<i64> = load.end()?.iter().map(|sent: &SentRequest| sent.end).collect();
    ends.sort_unstable();
    let rate = |(from, to): (i64, i64)| {
        let count = ends.partition_point(|end| *end < to) - ends.partition_point(|end| *end < from);
        count as f64 * 1e9 / (to - from) as f64
    };
    Ok(Data { go: bench.newest.version.clone(), rounds: turns.into_iter().map(|spans| spans.map(rate)).collect() })
}

/// One turn: when it began and ended.
fn turn(bench: &Bench, pid: u32, trace: Option<&[&str]>) -> Result<(i64, i64)> {
    let Some(arguments) = trace else { return Ok(span()) };
    let mut fgspy = Command::new(&bench.fgspy)
        .args(["trace", "-p", &pid.to_string(), "--max-overhead", "100000%"])
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(fgspy.stderr.take().context("it has a standard error")?).read_line(&mut line)?;
    ensure!(line.starts_with("The probes are set"), "fgspy says: {line}");
    let span = span();
    kill_process(Pid::from_child(&fgspy), Signal::INT)?;
    ensure!(fgspy.wait()?.success(), "fgspy failed");
    Ok(span)
}

fn span() -> (i64, i64) {
    std::thread::sleep(SETTLE);
    let from = now();
    std::thread::sleep(TURN);
    (from, now())
}

/// `CLOCK_MONOTONIC`, in nanoseconds.
fn now() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// The section of the report.
pub(super) fn render(data: &Data) -> String {
    let mut text = format!(
        "An HTTP/1 server ({}) and a load of eight clients, which ask for next to nothing as fast as they can, on the same \
         machine. In turns of {} s, in an order that changes, `fgspy trace` sets its probes and takes them out again. Compared is how \
         many requests are answered in a second, within rounds.\n",
        data.go,
        TURN.as_secs_f64()
    );
    let mut table = Table::new(&["arm", "rounds", "requests/s (median)", "change", "95 % interval", "p"]);
    let mut lines = Vec::new();
    let pairs = |arm: usize| data.rounds.iter().map(|rates| (rates[arm], rates[0])).collect::<Vec<_>>();
    let detectable = detectable_ratio(&log_ratios(&pairs(1)));
    for (arm, (title, _)) in ARMS.iter().enumerate() {
        let rates: Vec<f64> = data.rounds.iter().map(|rates| rates[arm]).collect();
        let middle = number(median(&rates).unwrap_or(0.0));
        let mut cells = vec![(*title).to_owned(), data.rounds.len().to_string(), middle];
        match compare(&pairs(arm)).filter(|_| arm > 0) {
            Some(comparison) => {
                cells.extend([change(comparison.ratio), interval(&comparison), probability(comparison.p)]);
                lines.push(Line { title: (*title).to_owned(), comparison, detectable });
            }
            None => cells.extend([String::new(), String::new(), String::new()]),
        }
        table.row(&cells);
    }
    text +=
        &format!("\n{}{}", table.finish(), conclusions(&lines, "more requests a second", "fewer requests a second"));
    text
}
