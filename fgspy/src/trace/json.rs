//! A trace as lines of JSON, each an object with a `kind`. Times are nanoseconds; moments are of `CLOCK_MONOTONIC`.
//!
//! They come in this order:
//!
//! - `begin`, first: `pid`, `go_version`, `start_ns`.
//! - `request`, one for each that ended, written when it did: `route`, `method`, `path`, `id` (of its trace, or its own), `goroutine`, `end`
//!   (how that is known), `begin_ns`, `end_ns`, `by_state_ns`, `children`, `children_by_state_ns`.
//! - `in_flight`, one for each that was not seen from beginning to end, whose time is in nothing else: `route`, `method`, `path`, `id`,
//!   `goroutine`, `began` (`before the probes` or `while tracing`), `ended`, `at_least_ns`, and of the former `doing` (when it was last seen).
//! - `trace`: `pid`, `go_version`, `start_ns`, `end_ns`, `hits`, `hit_ns` (on average, of which
//!   `trap_ns` is not the program's), `lost`, `contradicted`, `unreadable` (times that memory could not be read),
//!   `pattern_gone` (requests whose route is by path because they had left memory), `unended` (requests left out because
//!   their end was not seen), `began_before` (requests that began before the probes were set), `cpu_ns` (of the process; null if it is
//!   gone), `overhead` (CPUs that the probes took), `allowed_cpus` and `quota_cpus` (that the process may use, and its cgroup's quota; or null).
//! - `route`: `route`, `count`, `p50_ns`, `p90_ns`, `p99_ns`, `longest_ns`, `by_state`: for each `total_ns`, `p50_ns`, `p99_ns`.
//! - `place`: `route` (or null), `by_child` (a goroutine waited that the request had started, not the one that serves it), `state`,
//!   `reason`, `count`, `total_ns`, `longest_ns`, `woken_by_goroutines`, `stack`.
//! - `goroutines`, last: `by_state_ns` of all that were seen.
//!
//! `running` is what the Go runtime calls so: it includes the time in which a goroutine's thread waits for a CPU.

use std::io::{self, Write};

use fgspy_probes::PlacedWaits;
use fgspy_profile::Profile;
use serde_json::{Map, Value, json};

use super::capture::Capture;
use super::json_lines::by_state;
use super::words::{identity, provisional_route, state_word};

/// Writes all that is known at the end.
pub(super) fn write(
    capture: &Capture<'_>,
    profile: &Profile,
    places: &[PlacedWaits],
    out: &mut dyn Write,
) -> io::Result<()> {
    let (counts, trace) = (&capture.counts, &capture.trace);
    let mut line = |value: Value| writeln!(out, "{value}");
    for one in capture.earlier.requests() {
        line(json!({
            "kind": "in_flight", "route": one.route, "method": one.method, "path": one.path, "id": one.id,
            "goroutine": one.goid, "began": "before the probes", "ended": one.ended, "at_least_ns": one.at_least_ns(),
            "doing": one.doing,
        }))?;
    }
    for one in trace.open() {
        line(json!({
            "kind": "in_flight", "route": provisional_route(one), "method": one.method, "path": one.path, "id": identity(one),
            "goroutine": one.goid, "began": "while tracing", "ended": false,
            "at_least_ns": capture.end_ns.saturating_sub(one.begin_ns),
        }))?;
    }
    line(json!({
        "kind": "trace", "pid": profile.target.pid, "go_version": profile.target.go_version,
        "start_ns": capture.start_ns, "end_ns": capture.end_ns, "hits": counts.all_hits(), "hit_ns": capture.hit_ns(),
        "trap_ns": capture.traps.emulated_ns, "lost": counts.lost, "contradicted": counts.contradicted,
        "unreadable": counts.unreadable, "pattern_gone": counts.pattern_gone, "unended": trace.unended(),
        "began_before": capture.earlier.requests().count() as u64 + capture.earlier.more(),
        "cpu_ns": capture.used.map(|used| used.as_nanos() as u64), "overhead": capture.overhead(),
        "allowed_cpus": capture.allowance.least(), "quota_cpus": capture.allowance.quota,
    }))?;
    for (name, route) in trace.routes() {
        let states = (0u8..).zip(&route.by_class).filter(|(_, all)| all.count() > 0).map(|(number, all)| {
            let times = json!({"total_ns": all.sum(), "p50_ns": all.quantile(0.5), "p99_ns": all.quantile(0.99)});
            (state_word(number).to_owned(), times)
        });
        let durations = &route.durations;
        line(json!({
            "kind": "route", "route": name, "count": durations.count(), "p50_ns": durations.quantile(0.5),
            "p90_ns": durations.quantile(0.9), "p99_ns": durations.quantile(0.99), "longest_ns": durations.longest(),
            "by_state": states.collect::<Map<String, Value>>(), "children": route.children,
        }))?;
    }
    for PlacedWaits { waits: place, stack } in places {
        let frames: Vec<&str> = profile.frames(*stack).map(|frame| frame.name).collect();
        line(json!({
            "kind": "place", "route": place.route, "by_child": place.by_child, "state": state_word(place.class), "count": place.count,
            "total_ns": place.total_ns, "longest_ns": place.longest_ns, "woken_by_goroutines": place.woken,
            "stack": frames,
        }))?;
    }
    line(json!({"kind": "goroutines", "by_state_ns": by_state(&capture.finished().totals())}))
}
