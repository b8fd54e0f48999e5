//! Numbers as text: times, shares and averages with as many digits as a reader can use.

/// A time span with three digits: `12.3 ms`, `1.50 s`, `8.29 h`.
pub fn time(ns: u64) -> String {
    const UNITS: [(f64, f64, &str); 6] = [
        (1e3, 1.0, "ns"),
        (1e6, 1e3, "µs"),
        (1e9, 1e6, "ms"),
        (120e9, 1e9, "s"),
        (7200e9, 60e9, "min"),
        (f64::INFINITY, 3600e9, "h"),
    ];
    let ns = ns as f64;
    // The comparison is with what would be printed: 999.9999 µs is 1.00 ms and not 1000 µs.
    let (_, unit, word) = UNITS.into_iter().find(|&(limit, _, _)| ns * 1.0005 < limit).unwrap_or(UNITS[5]);
    let value = ns / unit;
    let digits = match value {
        _ if word == "ns" => 0,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {word}")
}

/// Ticks longer than this have no digit behind the milliseconds.
const COARSE_NS: u64 = 5_000_000;

/// A time that is known to about one tick: `612 ms` for ticks of 10 ms.
pub fn to_tick(ns: u64, tick_ns: u64) -> String {
    match ns {
        100_000_000_000.. => time(ns),
        1_000_000_000.. => format!("{:.2} s", ns as f64 / 1e9),
        _ if tick_ns > COARSE_NS => format!("{:.0} ms", ns as f64 / 1e6),
        _ => time(ns),
    }
}

/// A share as a percentage: `62.1%`, `0.05%`; `0%` when there is no whole.
pub fn percent(part: u64, whole: u64) -> String {
    let value = if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 };
    match value {
        0.0 => "0%".to_owned(),
        v if v < 0.005 => "<0.01%".to_owned(),
        v if v < 0.095 => format!("{v:.2}%"),
        v => format!("{v:.1}%"),
    }
}

/// An average number of goroutines: `52.3`, `0.04`, `18230`.
pub fn average(value: f64) -> String {
    let digits = match value {
        v if v < 0.995 => 2,
        v if v < 999.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

/// With a capital letter at its beginning.
pub fn capitalised(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: u64 = 10_101_010;

    #[test]
    fn times_have_the_digits_that_are_known() {
        assert_eq!(to_tick(612_345_678, TICK), "612 ms");
        assert_eq!(to_tick(2_012_345_678, TICK), "2.01 s");
        assert_eq!(to_tick(200_000_000_000, TICK), "3.33 min");
        assert_eq!(to_tick(12_345_678, 1_000_000), "12.3 ms");
    }
}
