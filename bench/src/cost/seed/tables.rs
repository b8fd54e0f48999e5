//! The section of the report.

use std::fmt::Write;

use super::Data;
use crate::cost::arms::{ARMS, ARMS_OLDEST, Arm};
use crate::cost::markdown::{Table, change, interval, probability, share, thousands, time};
use crate::cost::statistics::{detectable_ratio, log_ratios, mann_whitney, median};
use crate::cost::words::{Line, conclusions};

/// Below this probability a difference between two medians is shown, as benchstat does.
const SIGNIFICANT: f64 = 0.05;

/// The section as Markdown.
pub(in crate::cost) fn render(data: &Data) -> String {
    let mut text = format!(
        "Go's own benchmarks of `encoding/json`, unchanged, all of them in each run, each as many times as take about {} ms \
         without a profiler (the same number in every arm), with a profiler at 99 Hz and so many goroutines parked. In each \
         round one process is started, and every arm has its turn in it once, in an order that changes; an arm that takes \
         more than three times as long as A takes part in one round only. The change is that of the geometric mean over all \
         benchmarks to A of the same round: \
         Hodges-Lehmann estimate, 95 % interval and p of Wilcoxon's signed-rank test over the rounds. The benchmarks that \
         run in parallel keep all cores busy, so what fgspy computes outside is missing inside.\n\n",
        data.benchtime_ms
    );
    text += &summary(data);
    text += &conclusions(&lines(data), "slower", "faster");
    for &parked in &data.levels {
        let _ =
            write!(text, "\n<details><summary>Each benchmark, {} goroutines parked</summary>\n\n", thousands(parked));
        text += "Medians for A; for the others the change of the median, `~` where it is not significant (Mann-Whitney U \
                 test, p ≥ 0.05).\n\n";
        for arms in [&ARMS[..], &ARMS_OLDEST] {
            text += &benchmarks(data, arms, parked);
            text.push('\n');
        }
        text += "</details>\n";
    }
    text
}

/// What there is to conclude from.
fn lines(data: &Data) -> Vec<Line> {
    let mut lines = Vec::new();
    for &parked in &data.levels {
        let control = ARMS.iter().find(|arm| arm.id == "control");
        let detectable = control.and_then(|arm| detectable_ratio(&log_ratios(&data.pairs(arm, parked))));
        for arm in ARMS.iter().chain(&ARMS_OLDEST).filter(|arm| arm.id != arm.base) {
            let Some(comparison) = data.compare(arm, parked) else { continue };
            let title = format!("{} parked, {}", thousands(parked), title(data, arm));
            lines.push(Line { title, comparison, detectable: detectable.filter(|_| !arm.oldest_go) });
        }
    }
    lines
}

fn title(data: &Data, arm: &Arm) -> String {
    let go = &data.go[usize::from(arm.oldest_go)];
    format!("{} ({go})", arm.title)
}

fn summary(data: &Data) -> String {
    let mut table =
        Table::new(&["arm", "parked", "rounds", "change", "95 % interval", "p", "ticks/s", "fgspy's CPU, of a core"]);
    for arm in ARMS.iter().chain(&ARMS_OLDEST) {
        for &parked in &data.levels {
            let runs = data.of(arm.id, parked);
            let ticks: Vec<f64> = runs.iter().filter_map(|run| run.ticks_per_s).collect();
            let cpu: Vec<f64> =
                runs.iter().filter_map(|run| run.fgspy.as_ref()).map(|fgspy| fgspy.own_cpu_s / fgspy.seconds).collect();
            let mut cells = vec![title(data, arm), thousands(parked), runs.len().to_string()];
            match data.compare(arm, parked).filter(|_| arm.id != arm.base) {
                Some(comparison) => {
                    cells.extend([change(comparison.ratio), interval(&comparison), probability(comparison.p)]);
                }
                None => cells.extend(["".into(), "".into(), "".into()]),
            }
            cells.push(median(&ticks).map_or(String::new(), |ticks| format!("{ticks:.1}")));
            cells.push(median(&cpu).map_or(String::new(), share));
            table.row(&cells);
        }
    }
    table.finish()
}

fn benchmarks(data: &Data, arms: &[Arm], parked: usize) -> String {
    let Some(base) = arms.first() else { return String::new() };
    let mut columns = vec!["benchmark".to_owned(), title(data, base)];
    columns.extend(arms[1..].iter().map(|arm| arm.title.to_owned()));
    let mut table = Table::new(&columns.iter().map(String::as_str).collect::<Vec<_>>());
    for name in data.benchmarks(base.id) {
        let times = data.times(base.id, parked, name);
        let Some(middle) = median(&times) else { continue };
        let mut cells = vec![name.to_owned(), time(middle)];
        for arm in &arms[1..] {
            let others = data.times(arm.id, parked, name);
            cells.push(match median(&others) {
                None => String::new(),
                Some(_) if mann_whitney(&others, &times) >= SIGNIFICANT => "~".to_owned(),
                Some(other) => change(other / middle),
            });
        }
        table.row(&cells);
    }
    let mut cells = vec!["geometric mean".to_owned(), String::new()];
    cells.extend(arms[1..].iter().map(|arm| data.compare(arm, parked).map_or(String::new(), |c| change(c.ratio))));
    table.row(&cells);
    table.finish()
}
