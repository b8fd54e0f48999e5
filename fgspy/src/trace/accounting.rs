//! What tracing cost, and what it missed, in sentences.

use std::fmt::Write as _;

use fgspy_profile::units;

use super::capture::{Capture, EndReason};
use super::{overhead, unfinished};
use crate::terminal::numbers::count;

/// What tracing took from the target.
fn cost(capture: &Capture<'_>) -> String {
    let counts = &capture.counts;
    let mut line = format!(
        "Probes were hit {} times, at {:.1} µs a hit, measured here, so tracing took about {:.1}% of one core from the program",
        counts.all_hits(),
        capture.hit_ns() / 1e3,
        100.0 * capture.overhead(),
    );
    if let (Some(least), Some(words)) = (capture.allowance.least(), overhead::words(capture.allowance)) {
        let _ = write!(line, ": {:.1}% of what it may use ({words})", 100.0 * capture.overhead() / least.max(1e-9));
    }
    let _ = write!(
        line,
        ". {:.1} µs of a hit is the trap ({:.1} at an instruction that the kernel has to single-step).",
        capture.traps.emulated_ns / 1e3,
        capture.traps.stepped_ns / 1e3
    );
    if let EndReason::TooExpensive { share } = capture.end_reason {
        let base = overhead::base(capture.allowance);
        let of = if base < 1.0 { "what the program may use" } else { "one core" };
        let _ = write!(
            line,
            " They were removed when that reached {:.0}% of {of}: --max-overhead allows more; --route, --request, --trace or \
             --states off cost less.",
            100.0 * share / base
        );
    }
    line
}

/// The meaning of "running", beside the CPU time that the kernel measured.
fn running(capture: &Capture<'_>) -> String {
    let running = capture.finished().totals().first().copied().unwrap_or(0);
    let mut line =
        "running is the state in the Go runtime: it includes goroutines whose thread is preempted by the kernel, or has \
         no quota left; `fgspy requests` distinguishes these."
            .to_owned();
    if let Some(used) = capture.used {
        let used = units::time(u64::try_from(used.as_nanos()).unwrap_or(u64::MAX));
        let _ = write!(
            line,
            " Goroutines were running for {}, and the process used {used} of CPU time.",
            units::time(running)
        );
    }
    line
}

/// What was seen, what was lost, and what it cost.
pub(super) fn sentences(capture: &Capture<'_>) -> Vec<String> {
    let (counts, trace) = (&capture.counts, &capture.trace);
    let mut lines = vec![cost(capture)];
    let all = capture.ended_goroutines.iter().map(|ended| ended.transitions).sum::<u64>()
        + capture.goroutines.iter().map(|goroutine| goroutine.transitions).sum::<u64>();
    // Without states, the kernel forgets goroutines with their requests.
    let of_requests: u64 = capture.trace.routes().values().map(|route| route.transitions).sum();
    lines.push(format!(
        "{} of state were seen; {} events were lost, {} contradicted the known state.",
        count(all.max(of_requests), "change"),
        counts.lost,
        counts.contradicted
    ));
    if all > 0 {
        lines.push(running(capture));
    }
    if counts.lost > 0 {
        lines.push(
            "Lost events are missing from lists; the sums of requests whose end was seen are complete.".to_owned(),
        );
    }
    for (what, number) in [
        ("Goroutines or requests that were not traced, because there were too many at a time", counts.full),
        (
            "Failed reads of the program's memory (a probe cannot wait for a page that is not in memory)",
            counts.unreadable,
        ),
        ("Requests with too many headers, of which none was read", counts.headers_unread),
        (
            "Slow requests whose ids are unknown, because their headers were no longer in memory when they ended",
            counts.headers_gone,
        ),
        (
            "Requests whose route is made from their path, because they were no longer in memory when they ended, nor was \
             their pattern",
            counts.pattern_gone,
        ),
        (
            "Requests left out because their end was not seen (the handler panicked or took over the connection)",
            trace.unended(),
        ),
        ("Malformed records", counts.malformed),
        ("Requests that ended and whose beginning was not seen", trace.unknown()),
        ("Entries left out because there were too many", capture.stream.dropped() + trace.dropped()),
    ] {
        if number > 0 {
            lines.push(format!("{what}: {number}."));
        }
    }
    lines.extend(unfinished::sentences(capture));
    lines
}
