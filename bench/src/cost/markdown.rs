//! Tables and numbers in Markdown.

use std::fmt::Write;

use super::statistics::Comparison;

/// A table under construction.
#[derive(Debug)]
pub(super) struct Table {
    text: String,
    columns: usize,
}

impl Table {
    /// A table with these columns. The first one holds words, the others numbers.
    pub(super) fn new(columns: &[&str]) -> Table {
        let mut text = format!("| {} |\n|---|", columns.join(" | "));
        text.push_str(&"---:|".repeat(columns.len().saturating_sub(1)));
        text.push('\n');
        Table { text, columns: columns.len() }
    }

    /// Adds a row. Cells that are missing are empty.
    pub(super) fn row(&mut self, cells: &[String]) {
        let missing = self.columns.saturating_sub(cells.len());
        let _ = writeln!(self.text, "| {} |{}", cells.join(" | "), "  |".repeat(missing));
    }

    /// The table as text.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// A ratio as a change: `+4.1 %`.
pub(super) fn change(ratio: f64) -> String {
    let percent = 100.0 * (ratio - 1.0);
    let digits = if percent.abs() < 9.995 { 2 } else { 1 };
    format!("{percent:+.digits$} %")
}

/// The interval of a comparison as changes, or that there are too few runs for one.
pub(super) fn interval(comparison: &Comparison) -> String {
    match comparison.interval {
        Some((low, high)) => format!("{} … {}", change(low), change(high)),
        None => "too few runs".to_owned(),
    }
}

/// An interval of times in nanoseconds, or that there are too few runs for one.
pub(super) fn interval_of_times(interval: Option<(f64, f64)>) -> String {
    interval.map_or("too few runs".to_owned(), |(low, high)| format!("{} … {}", time(low), time(high)))
}

/// A probability: `0.002`, `<0.001`.
pub(super) fn probability(p: f64) -> String {
    if p < 0.001 { "<0.001".to_owned() } else { format!("{p:.3}") }
}

/// A number with three digits that count.
pub(super) fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.9995 || v == 0.0 => 2,
        v => (2 - v.log10().floor() as i32).clamp(3, 6) as usize,
    };
    format!("{value:.digits$}")
}

/// A time, given in nanoseconds.
pub(super) fn time(ns: f64) -> String {
    match ns {
        _ if ns < 999.5 => format!("{} ns", number(ns)),
        _ if ns < 999.5e3 => format!("{} µs", number(ns / 1e3)),
        _ if ns < 999.5e6 => format!("{} ms", number(ns / 1e6)),
        _ => format!("{} s", number(ns / 1e9)),
    }
}

/// A whole number with its thousands apart: `1,000,000`.
pub(super) fn thousands(value: usize) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Mebibytes.
pub(super) fn mebibytes(bytes: f64) -> String {
    format!("{} MiB", number(bytes / f64::from(1 << 20)))
}

/// A share of one core.
pub(super) fn share(value: f64) -> String {
    format!("{} %", number(100.0 * value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_markdown() {
        let mut table = Table::new(&["arm", "ratio", "p"]);
        table.row(&["A".to_owned(), "1".to_owned()]);
        assert_eq!(table.finish(), "| arm | ratio | p |\n|---|---:|---:|\n| A | 1 |  |\n");
    }

    #[test]
    fn numbers_have_the_digits_that_count() {
        let cases =
            [(0.0, "0.00"), (1234.5, "1234"), (99.94, "99.9"), (9.996, "10.0"), (1.0, "1.00"), (0.01234, "0.0123")];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
        assert_eq!(change(1.0414), "+4.14 %");
        assert_eq!(change(0.9), "-10.0 %");
        assert_eq!(probability(0.0004), "<0.001");
        assert_eq!(probability(0.25), "0.250");
        assert_eq!(time(293.3), "293 ns");
        assert_eq!(time(2_982_827.0), "2.98 ms");
        assert_eq!(time(999_600.0), "1.00 ms");
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000_000), "1,000,000");
        assert_eq!(share(0.0123), "1.23 %");
        assert_eq!(mebibytes(52_428_800.0), "50.0 MiB");
    }
}
