//! What it costs to read a goroutine's stack from outside, by how many are read at once and how much of each.

use std::time::Duration;

use anyhow::{Result, ensure};
use fgspy_fixtures::Fixture;
use fgspy_goroutines::GoProcess;
use fgspy_goroutines::{Status, census};
use fgspy_memory::{Memory, Process, Range, own_thread_cpu_time};
use serde::{Deserialize, Serialize};

use super::arms::there_and_back;
use super::markdown::{Table, thousands, time};
use super::statistics::{median, quantile};
use super::{Bench, go};

/// Goroutines of the target.
const PARKED: usize = 10_000;
/// How many of them are read in one call.
const AT_ONCE: [usize; 6] = [1, 4, 16, 64, 256, 1024];
/// Bytes of each, from the stack pointer up: a word, what most stacks need, what fgspy asks for. Never beyond the stack's end.
const BYTES: [usize; 3] = [8, 512, 2048];
/// Each number of goroutines with each number of bytes.
const ARMS: usize = AT_ONCE.len() * BYTES.len();

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Data {
    go: String,
    goroutines: usize,
    /// Of each round, nanoseconds of CPU time for one goroutine in each arm.
    rounds: Vec<Vec<f64>>,
}

/// Measures all arms in turn.
///
/// # Errors
/// When a program does not build, or may not be read.
pub(super) fn measure(bench: &Bench) -> Result<Data> {
    let mut command = go::command(&go::program(&bench.newest, "server")?);
    let server = Fixture::start(command.args(["-parked", &PARKED.to_string()]), |line| line == "ready")?;
    let target = GoProcess::attach(Process::open(server.pid())?)?;
    let goroutines = census(&target.runtime, &target.memory)?;
    let parked = goroutines.iter().filter(|goroutine| goroutine.status == Status::Waiting);
    let stacks = parked.filter_map(|goroutine| Some((goroutine.g.context()?.sp, goroutine.g.bounds.hi)));
    let mut stacks: Vec<(u64, u64)> = stacks.filter(|(sp, hi)| sp < hi).collect();
    stacks.sort_unstable();
    ensure!(stacks.len() >= PARKED, "only {} goroutines are parked", stacks.len());
    let rounds = bench.rounds(if bench.quick { 2 } else { 30 });
    eprintln!("reads: {rounds} rounds");
    let rounds = (0..rounds).map(|round| self::round(&target.memory, &stacks, round)).collect::<Result<_>>()?;
    Ok(Data { go: bench.newest.version.clone(), goroutines: stacks.len(), rounds })
}

fn round(memory: &dyn Memory, stacks: &[(u64, u64)], round: usize) -> Result<Vec<f64>> {
    let mut times = vec![Duration::ZERO; ARMS];
    for (arm, _) in there_and_back(ARMS, round) {
        let (at_once, bytes) = (AT_ONCE[arm / BYTES.len()], BYTES[arm % BYTES.len()] as u64);
        let range = |&(sp, hi): &(u64, u64)| Range { addr: sp, len: bytes.min(hi - sp) as usize };
        let ranges: Vec<Range> = stacks.iter().map(range).collect();
        let (mut copied, mut got) = (Vec::new(), Vec::new());
        let before = own_thread_cpu_time();
        for batch in ranges.chunks(at_once) {
            memory.read_ranges(batch, &mut copied, &mut got)?;
            ensure!(batch.iter().zip(&got).all(|(range, got)| range.len == *got), "a stack is not there");
        }
        times[arm] += own_thread_cpu_time().saturating_sub(before);
    }
    Ok(times.iter().map(|time| time.as_nanos() as f64 / (2 * stacks.len()) as f64).collect())
}

/// The section of the report.
pub(super) fn render(data: &Data) -> String {
    let heads = BYTES.map(|bytes| format!("{} bytes", thousands(bytes)));
    let mut columns = vec!["stacks in one call"];
    columns.extend(heads.iter().map(String::as_str));
    let mut table = Table::new(&columns);
    for (row, at_once) in AT_ONCE.iter().enumerate() {
        let mut cells = vec![thousands(*at_once)];
        cells.extend((0..BYTES.len()).map(|column| data.cell(row * BYTES.len() + column)));
        table.row(&cells);
    }
    format!(
        "The stacks of {} parked goroutines ({}), in order of address, are read with `process_vm_readv` as fgspy reads them: so many in \
         one call, and of each so many bytes from its stack pointer on, at most to its end. CPU time for one stack, the median of {} \
         rounds, and the quartiles.\n\n{}",
        thousands(data.goroutines),
        data.go,
        data.rounds.len(),
        table.finish()
    )
}

impl Data {
    fn cell(&self, arm: usize) -> String {
        let times: Vec<f64> = self.rounds.iter().filter_map(|round| round.get(arm).copied()).collect();
        let quartile = |part| quantile(&times, part).map_or(String::new(), time);
        let middle = median(&times).map_or(String::new(), time);
        format!("{middle} ({} … {})", quartile(0.25), quartile(0.75))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_of_its_arm() {
        let rounds = (0..4).map(|round| (0..ARMS).map(|arm| (1000 * arm + round) as f64).collect()).collect();
        let text = render(&Data { go: "go1.27.3".to_owned(), goroutines: 10_005, rounds });
        assert!(text.contains("| 4 | 3.00 µs (3.00 µs … 3.00 µs) | 4.00 µs (4.00 µs … 4.00 µs) |"), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("| ")).count(), 1 + AT_ONCE.len());
    }
}
