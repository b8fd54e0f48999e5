//! The section of the report.

use super::{Data, Level, Turn, Work};
use crate::cost::markdown::{Table, change, interval, number, probability, share, thousands};
use crate::cost::statistics::{compare, detectable_by};
use crate::cost::words::{Line, conclusions};

/// What is compared.
const COMPARED: [(&str, Measure); 4] = [
    ("time for a", Measure::Each(1)),
    ("target's CPU time for a", Measure::Each(2)),
    ("median of the time for a", Measure::Mean(3)),
    ("99th percentile of the time for a", Measure::Mean(4)),
];

/// How a number of several turns comes about.
#[derive(Clone, Copy)]
enum Measure {
    /// This number of each turn is for all its values.
    Each(usize),
    /// This one is for one.
    Mean(usize),
}

/// The arms that are compared with the first one.
const ARMS: [(usize, &str); 2] = [(1, "A′: idle, again"), (2, "fgspy")];

/// The section as Markdown.
pub(in crate::cost) fn render(data: &Data) -> String {
    let mut text = format!(
        "One goroutine of a program ({}) encodes and decodes a small JSON value without a break, on one CPU; or it sends \
         requests, one after the other on one connection, to an HTTP server in the same program and on the same CPU, which does \
         that for each. Garbage is collected between turns. One recording goes on all the time, with fgspy's defaults, but a third \
         of the budget, because fgspy is stopped two thirds of the time. In turns of {} ms, after {} ms that do not count, either \
         fgspy is continued and stopped again, or one of two processes that do nothing (A and A′). A round has two turns of \
         each, in an order that changes from round to round and then in the opposite one. Compared are sums of rounds; no round \
         is left out. The change is the Hodges-Lehmann estimate over the rounds, its interval and p are of Wilcoxon's \
         signed-rank test.\n\n\
         Measured are the time by the clock, in which other programs count and what fgspy takes from the target when all cores are \
         busy; the CPU time of all threads of the target, in which interruptions count, cold caches, and that a core is slower \
         while its neighbour is busy, but not waiting for a core; and the median and the 99th percentile of what single values \
         or requests took by the clock in a turn. What the kernel does for a recording whether or not fgspy is stopped, a timer \
         interrupt for each CPU 99 times a second, is in all arms and so in no difference.\n",
        data.go,
        number(data.turn_ms),
        number(data.settle_ms),
    );
    let columns = ["", "arm", "parked", "rounds", "change", "95 % interval", "p", "detectable"];
    let mut table = Table::new(&columns);
    let mut lines = Vec::new();
    for level in &data.levels {
        for (measure, of) in COMPARED {
            let measure = format!("{measure} {}", level.work.unit());
            let detectable = compare(&level.pairs(1, of)).and_then(|control| detectable_by(&control));
            for (arm, title) in ARMS {
                let Some(comparison) = compare(&level.pairs(arm, of)) else { continue };
                table.row(&[
                    measure.clone(),
                    title.to_owned(),
                    thousands(level.parked),
                    level.rounds.len().to_string(),
                    change(comparison.ratio),
                    interval(&comparison),
                    probability(comparison.p),
                    detectable.map_or(String::new(), change),
                ]);
                let title = format!("{measure}, {} parked, {title}", thousands(level.parked));
                lines.push(Line { title, comparison, detectable });
            }
        }
    }
    text += &format!(
        "\n{}\n*Detectable*: what would have been found in four of five such experiments, judged by A′.\n{}\n{}",
        table.finish(),
        conclusions(&lines, "more", "less"),
        running(data)
    );
    text
}

/// Whether fgspy did in its turns what it does always.
fn running(data: &Data) -> String {
    let mut table = Table::new(&["fgspy while it was not stopped", "ticks/s", "fgspy's CPU, of a core"]);
    for level in &data.levels {
        table.row(&[
            format!("{}s, {} parked", level.work.unit(), thousands(level.parked)),
            number(level.recorded.ticks as f64 / level.running_s),
            share(level.recorded.own_cpu_s / level.running_s),
        ]);
    }
    table.finish() + "\nThere is one tick more in each turn, when fgspy is continued, before the part that counts.\n"
}

impl Level {
    /// Of each round, what a value took in an arm, and in the first one.
    fn pairs(&self, arm: usize, of: Measure) -> Vec<(f64, f64)> {
        self.rounds.iter().map(|round| (of.over(&round[arm]), of.over(&round[0]))).collect()
    }
}

impl Measure {
    fn over(self, turns: &[Turn]) -> f64 {
        let sum = |of: usize| turns.iter().map(|turn| turn[of]).sum::<u64>() as f64;
        match self {
            Measure::Each(of) => sum(of) / sum(0),
            Measure::Mean(of) => sum(of) / turns.len() as f64,
        }
    }
}

impl Work {
    const fn unit(self) -> &'static str {
        match self {
            Work::Values => "value",
            Work::Requests => "request",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::fgspy::Recorded;

    #[test]
    fn values_of_both_turns_count_alike() {
        let turns = [[10, 100, 50, 4, 7], [30, 500, 70, 6, 8]];
        assert_eq!(Measure::Each(1).over(&turns), 15.0);
        assert_eq!(Measure::Each(2).over(&turns), 3.0);
        assert_eq!(Measure::Mean(4).over(&turns), 7.5);
    }

    #[test]
    fn a_difference_of_one_in_a_hundred_is_found_and_what_is_detectable_is_said() {
        // The machine is twice as slow in some rounds; fgspy adds 1 % to the time, and nothing to the CPU time.
        let round = |i: u64| {
            let slow = 1 + i % 2;
            let base = 100_000 * slow;
            [
                [[10, base, base, 3, 9], [10, base, base, 3, 9]],
                [[10, base + i % 5, base + i % 7, 3, 9], [10, base, base, 3, 9]],
                [[10, base * 101 / 100, base, 3, 18], [10, base * 101 / 100, base, 3, 18]],
            ]
        };
        let recorded = Recorded {
            attach_s: 0.1,
            seconds: 3.0,
            ticks: 198,
            late_ticks: 0,
            own_cpu_s: 0.01,
            ending_s: 0.1,
            peak_bytes: 1,
        };
        let level =
            Level { work: Work::Values, parked: 10, rounds: (0..40).map(round).collect(), running_s: 2.0, recorded };
        let data = Data { go: "go1.27.3".to_owned(), turn_ms: 40.0, settle_ms: 15.0, levels: vec![level] };
        let text = render(&data);
        assert!(
            text.contains("| time for a value | fgspy | 10 | 40 | +1.00 % | +1.00 % … +1.00 % | <0.001 | +0.00 % |"),
            "{text}"
        );
        assert!(
            text.contains("- 99th percentile of the time for a value, 10 parked, fgspy: more (+100.0 %, "),
            "{text}"
        );
        assert!(text.contains("- time for a value, 10 parked, fgspy: more (+1.00 %, "), "{text}");
        assert!(
            text.contains("- target's CPU time for a value, 10 parked, fgspy: no difference could be shown"),
            "{text}"
        );
        assert!(text.contains("| values, 10 parked | 99.0 | 0.500 % |"), "{text}");
    }
}
