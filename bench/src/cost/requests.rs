//! What it costs fgspy itself to say which request a goroutine serves.
//!
//! One server under a steady load goes on throughout. In each round there are three new recordings of it: in turns one of them
//! runs, and the other two are stopped. New ones, because a process is a little faster or slower than another of the same program
//! for all its life, by where its memory happens to lie.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::arms::there_and_back;
use super::fgspy::{Attached, Recorded};
use super::load::Load;
use super::markdown::{Table, change, interval, probability, share, thousands, time};
use super::statistics::{compare, detectable_by};
use super::words::{Line, conclusions};
use super::{Bench, go, service};

/// One turn: thirty ticks.
const TURN: Duration = Duration::from_millis(300);
/// Requests a second: far from the most that the server answers, so that the recordings get to run.
const RATE: u32 = 2000;

/// The arms, and the arguments of `fgspy record`.
const ARMS: [(&str, &[&str]); 3] =
    [("A: --no-requests", &["--no-requests"]), ("A\u{2032}: --no-requests, again", &["--no-requests"]), ("fgspy", &[])];

/// How much is read: what it is called, and `--max-cpu`. A recording runs in a third of the time, and earns in all of it.
const READINGS: [(&str, &str); 2] = [("1 % of a core", "0.333%"), ("everything at each tick", "unlimited")];

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Data {
    go: String,
    readings: Vec<Reading>,
}

/// With one budget.
#[derive(Debug, Serialize, Deserialize)]
struct Reading {
    title: String,
    rounds: Vec<[[Turn; 2]; ARMS.len()]>,
    /// Of each round, by arm.
    recorded: Vec<Vec<Recorded>>,
}

/// A turn: nanoseconds by the clock, nanoseconds of CPU time of the recording.
type Turn = [u64; 2];

/// Measures each budget in turn.
///
/// # Errors
/// When a program does not build or a run fails.
pub(super) fn measure(bench: &Bench) -> Result<Data> {
    let programs = [go::program(&bench.newest, "server")?, go::program(&bench.newest, "load")?];
    let rounds = bench.rounds(if bench.quick { 2 } else { 50 });
    let readings = READINGS.iter().map(|(title, max_cpu)| {
        eprintln!("requests: {title}, {rounds} rounds");
        let (measured, recorded) = reading(bench, &programs, max_cpu, rounds).context(*title)?;
        Ok(Reading { title: (*title).to_owned(), rounds: measured, recorded })
    });
    Ok(Data { go: bench.newest.version.clone(), readings: readings.collect::<Result<_>>()? })
}

type Measured = (Vec<[[Turn; 2]; ARMS.len()]>, Vec<Vec<Recorded>>);

fn reading(bench: &Bench, programs: &[PathBuf; 2], max_cpu: &str, rounds: usize) -> Result<Measured> {
    let [server, load] = programs;
    let server = service::start(server)?;
    // Far longer than it takes; that it lasted is looked at in the end.
    let time = Duration::from_secs(120) + 30 * TURN * u32::try_from(rounds)?;
    let mut load = Load::start(load, &service::url(&server)?, RATE, time)?;
    let (mut measured, mut recorded) = (Vec::new(), Vec::new());
    for number in 0..rounds {
        let (turns, ended) = round(bench, server.pid(), max_cpu, number)?;
        measured.push(turns);
        recorded.push(ended);
    }
    ensure!(load.goes_on()?, "the load ended before the recordings");
    Ok((measured, recorded))
}

fn round(bench: &Bench, pid: u32, max_cpu: &str, number: usize) -> Result<([[Turn; 2]; ARMS.len()], Vec<Recorded>)> {
    let mut recordings = Vec::new();
    for (_, arguments) in ARMS {
        let arguments = [&["--max-cpu", max_cpu], arguments].concat();
        let recording = Attached::attach(&bench.fgspy, pid, &arguments)?;
        // Not counted: everybody is new to it.
        std::thread::sleep(TURN);
        recording.halt()?;
        recordings.push(recording);
    }
    let mut turns = [[Turn::default(); 2]; ARMS.len()];
    for (arm, which) in there_and_back(ARMS.len(), number) {
        let recording = &recordings[arm];
        let (began, before) = (Instant::now(), recording.cpu_time()?);
        recording.run(true)?;
        std::thread::sleep(TURN);
        recording.halt()?;
        let cpu = recording.cpu_time()?.saturating_sub(before);
        turns[arm][which] = [began.elapsed(), cpu].map(|time| time.as_nanos() as u64);
    }
    let mut recorded = Vec::new();
    for recording in recordings {
        recording.run(true)?;
        recorded.push(recording.finish()?);
    }
    Ok((turns, recorded))
}

/// The section of the report.
pub(super) fn render(data: &Data) -> String {
    let mut text = format!(
        "A server ({}) with {} goroutines parked is sent {} requests a second (that of the service above). In each round \
         there are three new recordings of it; in turns of {} ms one runs, and the other two are stopped. A round has two turns of each, \
         in an order that changes and then in the opposite one; no round is left out. Compared is the CPU time that fgspy uses in a second \
         of its turns. In a budget of 1 % of a core, fgspy reads fewer goroutines if each costs more. Change, interval and p as above; \
         *detectable*: what would have been found in four of five such experiments, judged by A\u{2032}.\n",
        data.go,
        thousands(service::PARKED),
        thousands(RATE as usize),
        TURN.as_millis()
    );
    let columns =
        ["arm", "reads", "rounds", "CPU, of a core", "CPU per tick", "change", "95 % interval", "p", "detectable"];
    let mut table = Table::new(&columns);
    let mut lines = Vec::new();
    for reading in &data.readings {
        let detectable = compare(&reading.pairs(1)).and_then(|control| detectable_by(&control));
        for (arm, (title, _)) in ARMS.iter().enumerate() {
            let recorded = || reading.recorded.iter().filter_map(|round| round.get(arm));
            let ticks: u64 = recorded().map(|recorded| recorded.ticks).sum();
            let per_tick = 1e9 * recorded().map(|recorded| recorded.own_cpu_s).sum::<f64>() / ticks.max(1) as f64;
            let turns: Vec<Turn> = reading.rounds.iter().flat_map(|round| round[arm]).collect();
            let mut row = vec![
                (*title).to_owned(),
                reading.title.clone(),
                reading.rounds.len().to_string(),
                share(rate(&turns)),
                time(per_tick),
            ];
            if let Some(comparison) = compare(&reading.pairs(arm)).filter(|_| arm > 0) {
                row.extend([change(comparison.ratio), interval(&comparison), probability(comparison.p)]);
                row.push(detectable.map_or(String::new(), change));
                lines.push(Line { title: format!("{}, {title}", reading.title), comparison, detectable });
            }
            table.row(&row);
        }
    }
    text += &format!("\n{}{}", table.finish(), conclusions(&lines, "more", "less"));
    text
}

impl Reading {
    /// Of each round, the CPU time in an arm and in the first one.
    fn pairs(&self, arm: usize) -> Vec<(f64, f64)> {
        self.rounds.iter().map(|round| (rate(&round[arm]), rate(&round[0]))).collect()
    }
}

/// CPU time in a second of these turns, in parts of a core.
fn rate(turns: &[Turn]) -> f64 {
    let sum = |of: usize| turns.iter().map(|turn| turn[of]).sum::<u64>() as f64;
    sum(1) / sum(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_requests_cost_is_compared_within_rounds() {
        let round = |i: u64| [200 + i, 200 + i, 2 * (200 + i)].map(|cpu| [[10_000, cpu], [10_000, cpu]]);
        let recorded = Recorded {
            attach_s: 0.1,
            seconds: 6.0,
            ticks: 200,
            late_ticks: 6,
            own_cpu_s: 0.05,
            ending_s: 0.1,
            peak_bytes: 1,
        };
        let reading = Reading {
            title: "everything".to_owned(),
            rounds: (0..10).map(round).collect(),
            recorded: vec![vec![recorded; 3]; 10],
        };
        let text = render(&Data { go: "go1.27.3".to_owned(), readings: vec![reading] });
        assert!(text.contains("| A: --no-requests | everything | 10 | 2.04 % | 250 µs |  |"), "{text}");
        assert!(
            text.contains(
                "| fgspy | everything | 10 | 4.09 % | 250 µs | +100.0 % | +100.0 % … +100.0 % | 0.002 | +0.00 % |"
            ),
            "{text}"
        );
    }
}
