//! The section of the report.

use super::{Data, Run};
use crate::cost::arms::{ARMS, Arm};
use crate::cost::markdown::{Table, change, interval, number, probability, share, thousands, time};
use crate::cost::statistics::{compare, detectable_ratio, log_ratios, median};
use crate::cost::words::{Line, conclusions};

/// Something of a run.
type Value = fn(&Run) -> f64;

/// What is compared, with its title.
const COMPARED: [(&str, Value); 6] = [
    ("p50 latency", |run| run.latency.p50_ns),
    ("p99 latency", |run| run.latency.p99_ns),
    ("p99.9 latency", |run| run.latency.p999_ns),
    ("server's CPU time for a request", |run| run.cpu_ns),
    ("longest pause of a spinning goroutine", |run| run.pauses.longest_ns),
    ("time that a spinning goroutine loses", lost),
];

fn lost(run: &Run) -> f64 {
    run.pauses.lost_ns / run.pauses.total_ns
}

/// The section as Markdown.
pub(in crate::cost) fn render(data: &Data) -> String {
    let rounds = data.runs.iter().map(|run| run.round + 1).max().unwrap_or(0);
    let mut text = format!(
        "An HTTP server ({}) that decodes and encodes JSON, with {} goroutines parked. It answers {} requests a second at \
         most; it is sent {} a second at fixed times by another process, whether or not earlier ones are answered (an open \
         loop), and a latency begins when the request was due. Server and client share the cores. Afterwards, without load, \
         one goroutine looks at the clock without a break and notes when it did not run for more than 20 µs. {rounds} \
         rounds, each arm once in each, in an order that changes. Medians over the rounds; changes, intervals and p as \
         above, against A of the same round.\n\n",
        data.go,
        thousands(data.parked),
        thousands(data.capacity.round() as usize),
        thousands(data.rate.round() as usize),
    );
    let mut table = Table::new(&[
        "arm",
        "requests/s",
        "p50",
        "p99",
        "p99.9",
        "longest",
        "CPU/request",
        "ticks/s",
        "fgspy's CPU, of a core",
    ]);
    for arm in &ARMS {
        let middle = |of: Value| median(&data.of(arm).iter().map(|run| of(run)).collect::<Vec<_>>());
        let shown = |of: Value| middle(of).map_or(String::new(), time);
        let runs = data.of(arm);
        let ticks: Vec<f64> = runs.iter().filter_map(|run| run.ticks_per_s).collect();
        let own: Vec<f64> = runs.iter().filter_map(|run| run.fgspy.as_ref()).map(|f| f.own_cpu_s / f.seconds).collect();
        table.row(&[
            arm.title.to_owned(),
            middle(|run| run.latency.requests as f64 / run.latency.seconds).map_or(String::new(), number),
            shown(|run| run.latency.p50_ns),
            shown(|run| run.latency.p99_ns),
            shown(|run| run.latency.p999_ns),
            shown(|run| run.latency.longest_ns),
            shown(|run| run.cpu_ns),
            median(&ticks).map_or(String::new(), |ticks| format!("{ticks:.1}")),
            median(&own).map_or(String::new(), share),
        ]);
    }
    text += &table.finish();
    text += "\nWhat a spinning goroutine sees, medians over the rounds, and the longest of all:\n\n";
    let mut table = Table::new(&["arm", "longest pause", "longest of all", "pauses over 1 ms, a second", "time lost"]);
    for arm in &ARMS {
        let runs = data.of(arm);
        let values = |of: Value| runs.iter().map(|run| of(run)).collect::<Vec<f64>>();
        let longest = values(|run| run.pauses.longest_ns);
        let often = values(|run| run.pauses.over_1ms as f64 / (run.pauses.total_ns / 1e9));
        table.row(&[
            arm.title.to_owned(),
            median(&longest).map_or(String::new(), time),
            longest.iter().copied().max_by(f64::total_cmp).map_or(String::new(), time),
            median(&often).map_or(String::new(), number),
            median(&values(lost)).map_or(String::new(), share),
        ]);
    }
    text += &table.finish();
    text += "\nAgainst A of the same round:\n\n";
    let (table, lines) = compared(data);
    text + &table + &conclusions(&lines, "longer", "shorter")
}

/// How the arms compare, in a table and for words.
fn compared(data: &Data) -> (String, Vec<Line>) {
    let mut table = Table::new(&["", "arm", "change", "95 % interval", "p"]);
    let mut lines = Vec::new();
    for (title, of) in COMPARED {
        let control = ARMS.iter().find(|arm| arm.id == "control");
        let detectable = control.and_then(|arm| detectable_ratio(&log_ratios(&data.pairs(arm, of))));
        for arm in ARMS.iter().filter(|arm| arm.id != arm.base) {
            let Some(comparison) = compare(&data.pairs(arm, of)) else { continue };
            table.row(&[
                title.to_owned(),
                arm.title.to_owned(),
                change(comparison.ratio),
                interval(&comparison),
                probability(comparison.p),
            ]);
            lines.push(Line { title: format!("{title}, {}", arm.title), comparison, detectable });
        }
    }
    (table.finish(), lines)
}

impl Data {
    fn of(&self, arm: &Arm) -> Vec<&Run> {
        self.runs.iter().filter(|run| run.arm == arm.id).collect()
    }

    /// Of each round, the value of the arm and of its base. Values of 0 have no ratio and are left out.
    fn pairs(&self, arm: &Arm, of: Value) -> Vec<(f64, f64)> {
        let base = |round: usize| self.runs.iter().find(|run| run.arm == arm.base && run.round == round);
        let pairs = self.of(arm).into_iter().filter_map(|run| Some((of(run), of(base(run.round)?))));
        pairs.filter(|(value, base)| *value > 0.0 && *base > 0.0).collect()
    }
}
