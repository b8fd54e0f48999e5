//! The section of the report.

use super::{Cell, Data, Outside, Run};
use crate::cost::markdown::{Table, mebibytes, number, share, thousands};
use crate::cost::statistics::median;

/// The section as Markdown.
pub(in crate::cost) fn render(data: &Data) -> String {
    let mut text = format!(
        "One target ({}) for each row; of its goroutines so many are parked and the others wake up ten times a second, or \
         less often where that would be more than 200,000 wake-ups a second. Each profiler samples it in turn, after it has \
         settled; medians where it had \
         several turns. All CPU times are shares of one core. fgspy's are by the kernel's account \
         (schedstat), its own account over the whole recording is beside it. *Empty ticks* are those of a thread that only wakes \
         up 99 times a second: no profiler of that rate can cost less here. What a profiler costs inside the target is the \
         target's CPU time with it less that without it. A goroutine-tick is one goroutine at one tick.\n",
        data.go,
    );
    for reason in &data.skipped {
        text += &format!("\nNot measured: {reason}.\n");
    }
    for (name, _) in &data.fgspy {
        text += &format!("\n### {name}\n\n{}", outside(data, name));
    }
    text += &format!("\n### fgprof in the target\n\n{}", inside(data, "fgprof"));
    text += &format!("\n### Side by side\n\n{}", ratios(data));
    text
}

fn outside(data: &Data, name: &str) -> String {
    let mut table = Table::new(&[
        "goroutines",
        "active",
        "wake-ups/s",
        "ticks/s",
        "CPU",
        "empty ticks",
        "own account",
        "ns per goroutine-tick",
        "late ticks",
        "inside the target",
        "attach, s",
        "peak memory",
        "bytes for each further goroutine",
        "peak with report",
        "report, s",
    ]);
    for cell in data.cells() {
        let runs = data.of(cell, name);
        let of = |value: fn(&Outside) -> f64| {
            median(&runs.iter().filter_map(|run| run.fgspy.as_ref()).map(value).collect::<Vec<_>>())
        };
        let shown = |value: Option<f64>, show: fn(f64) -> String| value.map_or(String::new(), show);
        let mut cells = cell.cells();
        cells.extend([
            shown(data.ticks(cell, name), |ticks| format!("{ticks:.1}")),
            shown(data.own_cost(cell, name), share),
            shown(data.empty_ticks(cell), share),
            shown(of(|fgspy| fgspy.recorded.own_cpu_s / fgspy.recorded.seconds), share),
            shown(data.per_goroutine_tick(cell, name), number),
            shown(of(|fgspy| 100.0 * fgspy.recorded.late_ticks as f64 / fgspy.recorded.ticks.max(1) as f64), |late| {
                format!("{late:.1} %")
            }),
            shown(data.inside_cost(cell, name), share),
            shown(of(|fgspy| fgspy.recorded.attach_s), number),
            shown(data.peak(cell, name), mebibytes),
            shown(further(data, cell, name), |bytes| format!("{bytes:.0}")),
            shown(of(|fgspy| fgspy.recorded.peak_bytes as f64), mebibytes),
            shown(of(|fgspy| fgspy.recorded.ending_s), number),
        ]);
        table.row(&cells);
    }
    table.finish()
}

/// How much more memory fgspy had than for the smallest target, in bytes for each goroutine that there are more. Not of a
/// few goroutines: their share of what fgspy always needs is chance.
fn further(data: &Data, cell: Cell, name: &str) -> Option<f64> {
    let smallest = data.cells().into_iter().min_by_key(|cell| cell.goroutines)?;
    let more = cell.goroutines - smallest.goroutines;
    let least = data.peak(smallest, name)?;
    (more >= 1000).then_some((data.peak(cell, name)? - least).max(0.0) / more as f64)
}

fn inside(data: &Data, name: &str) -> String {
    let mut table = Table::new(&[
        "goroutines",
        "active",
        "wake-ups/s",
        "ticks/s",
        "target's CPU without",
        "inside the target",
        "ns per goroutine-tick",
    ]);
    for cell in data.cells() {
        let mut cells = cell.cells();
        cells.extend([
            data.ticks(cell, name).map_or("none".to_owned(), |ticks| format!("{ticks:.1}")),
            data.target(cell, "none").map_or(String::new(), share),
            data.inside_cost(cell, name).map_or(String::new(), share),
            data.per_goroutine_tick(cell, name).map_or(String::new(), number),
        ]);
        table.row(&cells);
    }
    table.finish()
}

/// How many times as much fgprof needs for a goroutine-tick as fgspy.
fn ratios(data: &Data) -> String {
    let mut columns = vec!["goroutines", "active", "wake-ups/s"];
    let titles: Vec<String> = data.fgspy.iter().map(|(name, _)| format!("fgprof / {name}")).collect();
    columns.extend(titles.iter().map(String::as_str));
    let mut table = Table::new(&columns);
    for cell in data.cells() {
        let mut cells = cell.cells();
        let fgprof = data.per_goroutine_tick(cell, "fgprof").filter(|cost| *cost > 0.0);
        for (name, _) in &data.fgspy {
            let ratio = fgprof.zip(data.per_goroutine_tick(cell, name)).map(|(inside, outside)| inside / outside);
            cells.push(ratio.filter(|ratio| ratio.is_finite()).map_or(String::new(), number));
        }
        table.row(&cells);
    }
    table.finish()
}

impl Cell {
    /// The first cells of a row.
    fn cells(self) -> Vec<String> {
        let wake_ups = if self.active == 0 { 0.0 } else { self.active as f64 * 1000.0 / self.period_ms as f64 };
        vec![thousands(self.goroutines), thousands(self.active), thousands(wake_ups.round() as usize)]
    }
}

impl Data {
    fn cells(&self) -> Vec<Cell> {
        let mut cells: Vec<Cell> = self.runs.iter().map(|run| run.cell).collect();
        cells.dedup();
        cells
    }

    fn of(&self, cell: Cell, profiler: &str) -> Vec<&Run> {
        self.runs.iter().filter(|run| run.cell == cell && run.profiler == profiler).collect()
    }

    fn ticks(&self, cell: Cell, profiler: &str) -> Option<f64> {
        median(&self.of(cell, profiler).iter().filter_map(|run| run.ticks_per_s).collect::<Vec<_>>())
    }

    /// The CPU time of the target, as a share of one core.
    fn target(&self, cell: Cell, profiler: &str) -> Option<f64> {
        let runs = self.of(cell, profiler);
        median(&runs.iter().map(|run| run.target_cpu_s / run.seconds).collect::<Vec<_>>())
    }

    /// What of it is due to the profiler.
    fn inside_cost(&self, cell: Cell, profiler: &str) -> Option<f64> {
        Some(self.target(cell, profiler)? - self.target(cell, "none")?)
    }

    /// The CPU time of fgspy itself, as a share of one core.
    fn own_cost(&self, cell: Cell, profiler: &str) -> Option<f64> {
        let runs = self.of(cell, profiler);
        let costs = runs.iter().filter_map(|run| Some(run.fgspy.as_ref()?.cpu_s / run.seconds));
        median(&costs.collect::<Vec<_>>())
    }

    fn empty_ticks(&self, cell: Cell) -> Option<f64> {
        let of_cell = self.empty_ticks.iter().filter(|(of, _)| *of == cell);
        median(&of_cell.map(|(_, share)| *share).collect::<Vec<_>>())
    }

    /// The most memory that fgspy had, in bytes.
    fn peak(&self, cell: Cell, name: &str) -> Option<f64> {
        let runs = self.of(cell, name);
        median(&runs.iter().filter_map(|run| Some(run.fgspy.as_ref()?.peak_bytes as f64)).collect::<Vec<_>>())
    }

    /// What one goroutine costs at one tick, in nanoseconds: outside the target for fgspy, else inside.
    fn per_goroutine_tick(&self, cell: Cell, profiler: &str) -> Option<f64> {
        let cost = self.own_cost(cell, profiler).or_else(|| self.inside_cost(cell, profiler))?;
        Some(1e9 * cost / self.ticks(cell, profiler)? / cell.goroutines as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::fgspy::Recorded;

    fn run(profiler: &str, target_cpu_s: f64, ticks_per_s: Option<f64>, cpu_s: Option<f64>) -> Run {
        let recorded = Recorded {
            attach_s: 0.1,
            seconds: 2.5,
            ticks: 250,
            late_ticks: 0,
            own_cpu_s: 0.1,
            ending_s: 0.2,
            peak_bytes: 1 << 20,
        };
        Run {
            cell: Cell::new(1000, 0),
            repetition: 0,
            profiler: profiler.to_owned(),
            seconds: 2.0,
            target_cpu_s,
            ticks_per_s,
            fgspy: cpu_s.map(|cpu_s| Outside { cpu_s, peak_bytes: 1 << 20, recorded }),
        }
    }

    #[test]
    fn costs_are_shares_of_a_core_and_nanoseconds_of_a_goroutine_tick() {
        let runs = vec![
            run("none", 0.2, None, None),
            run("fgprof", 0.6, Some(50.0), None),
            run("fgspy", 0.21, Some(100.0), Some(0.02)),
        ];
        let data = Data { go: String::new(), fgspy: vec![], skipped: vec![], runs, empty_ticks: vec![] };
        let cell = Cell::new(1000, 0);
        let near = |value: Option<f64>, expected: f64| assert!((value.unwrap() - expected).abs() < 1e-9, "{value:?}");
        near(data.target(cell, "none"), 0.1);
        near(data.inside_cost(cell, "fgprof"), 0.2);
        // 20 % of a core for 50 ticks of 1000 goroutines: 4 µs each.
        near(data.per_goroutine_tick(cell, "fgprof"), 4000.0);
        near(data.own_cost(cell, "fgspy"), 0.01);
        near(data.per_goroutine_tick(cell, "fgspy"), 100.0);
        near(data.inside_cost(cell, "fgspy"), 0.005);
        assert_eq!(data.per_goroutine_tick(cell, "none"), None);
        assert_eq!(data.cells(), [cell]);
    }
}
