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
        ". {:.1} µs of a hit is the trap ({:.1} at an instruction that the kernel has to step through).",
        capture.traps.emulated_ns / 1e3,
        capture.traps.stepped_ns / 1e3
    );
    if let EndReason::TooExpensive { share } = capture.end_reason {
        let base = overhead::base(capture.allowance);
        let of = if base < 1.0 { "what the program may use" } else { "one core" };
        let _ = write!(
            line,
            " They were taken out when that became {:.0}% of {of}: --max-overhead allows more; --route, --request, --trace or \
             --states off cost less.",
            100.0 * share / base
        );
    }
    line
}

/// What "running" stands for, beside what the kernel says.
fn running(capture: &Capture<'_>) -> String {
    let running = capture.finished().totals().first().copied().unwrap_or(0);
    let mut line =
        "running is what the Go runtime calls so: a goroutine whose thread the kernel does not run is running too \
                    (preempted, or out of quota); `fgspy requests` tells that apart."
            .to_owned();
    if let Some(used) = capture.used {
        let used = units::time(u64::try_from(used.as_nanos()).unwrap_or(u64::MAX));
        let _ =
            write!(line, " Goroutines were running for {}, and the process used {used} of CPU.", units::time(running));
    }
    line
}

/// What was seen, lost, and what it cost.
pub(super) fn sentences(capture: &Capture<'_>) -> Vec<String> {
    let counts = &capture.counts;
    let mut lines = vec![cost(capture)];
    let all = capture.ended_goroutines.iter().map(|ended| ended.transitions).sum::<u64>()
        + capture.goroutines.iter().map(|goroutine| goroutine.transitions).sum::<u64>();
    // Goroutines that only requests were asked of are forgotten with these.
    let of_requests: u64 = capture.trace.routes().values().map(|route| route.transitions).sum();
    lines.push(format!(
        "{} of state were seen; {} of events were lost, {} contradicted what was known.",
        count(all.max(of_requests), "change"),
        counts.lost,
        counts.contradicted
    ));
    if all > 0 {
        lines.push(running(capture));
    }
    if counts.lost > 0 {
        lines.push("What was lost is missing from lists; sums of requests that were seen to end are whole.".to_owned());
    }
    for (number, what) in [
        (counts.full, "goroutines or requests beyond what is kept at a time were not followed"),
        (
            counts.unreadable,
            "times the program's memory could not be read: a probe cannot wait for a page that is not there",
        ),
        (counts.headers_unread, "requests had so many headers that none was read"),
        (counts.headers_gone, "slow requests had other headers when they ended: which request it was is not told"),
        (
            counts.pattern_gone,
            "requests had left memory at their end, with the pattern that they had matched, if they had: their route is by path",
        ),
        (
            capture.trace.unended(),
            "requests ended unseen, and are left out: the handler panicked or took the connection over",
        ),
        (counts.malformed, "records made no sense"),
        (capture.trace.unknown(), "requests ended that had begun before, or whose beginning was lost"),
        (capture.stream.dropped() + capture.trace.dropped(), "entries were left out because there were too many"),
    ] {
        if number > 0 {
            lines.push(format!("{number} {what}."));
        }
    }
    lines.extend(unfinished::sentences(capture));
    lines
}
