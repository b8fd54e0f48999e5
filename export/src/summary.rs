//! Numbers and the story of a recording, in words.

use std::time::{Duration, UNIX_EPOCH};

use fgspy_profile::Profile;

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

/// The name of the executable without its folders; `?` if it has none.
pub fn program(profile: &Profile) -> &str {
    match profile.target.executable.rsplit('/').next() {
        None | Some("") => "?",
        Some(name) => name,
    }
}

/// How the profile came about: what was profiled and when, how well it went, and everything the user has to know.
pub fn lines(profile: &Profile) -> Vec<String> {
    let (target, how) = (&profile.target, &profile.accounting);
    let total = profile.total_time();
    let start = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_nanos(profile.start_unix_ns));
    let mut lines = vec![
        format!("pid {}: {}, {} {}", target.pid, target.executable, target.go_version, target.arch),
        format!(
            "recorded {} from {start}: {} goroutines, {} on average, {} of goroutine time",
            time(profile.duration_ns),
            profile.goroutines(),
            average(profile.average_goroutines()),
            time(total),
        ),
        format!(
            "{} ticks, {} late; {} a second asked for, {} achieved",
            how.ticks,
            how.late_ticks,
            number(how.rate_hz),
            {
                let seconds = profile.duration_ns as f64 / 1e9;
                number(if seconds > 0.0 { how.ticks as f64 / seconds } else { 0.0 })
            }
        ),
        format!(
            "{} observations; of {} more only the state counts, because the stack moved while it was read; {} with a broken stack, {} unreadable",
            how.accepted, how.changed, how.broken, how.unmapped
        ),
        format!(
            "place not seen: {} of the time, given to places where the same goroutine or its like was seen in that state; not known: {}",
            percent(how.spread_ns, total),
            percent(how.unplaced_ns, total)
        ),
        format!("{} on-CPU samples, {} more lost", how.cpu_samples, how.cpu_samples_lost),
    ];
    if how.expected_ns > 0 {
        lines.push(format!(
            "the samples stand for {} of the {} that there should be",
            percent(total, how.expected_ns),
            time(how.expected_ns)
        ));
    }
    lines.push(format!("fgspy {} used {} of CPU time", env!("CARGO_PKG_VERSION"), time(how.own_cpu_ns)));
    lines.extend(how.remarks.iter().map(|remark| format!("remark: {remark}")));
    lines
}

/// A rate, without digits that say nothing.
fn number(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    format!("{rounded}")
}
