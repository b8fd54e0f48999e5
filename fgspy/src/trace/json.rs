//! A trace as lines of JSON, each an object with a `kind`. Times are nanoseconds; moments are of `CLOCK_MONOTONIC`.
//!
//! - `trace`, first: `pid`, `go_version`, `start_ns`, `end_ns`, `hits`, `hit_ns` (on average, of which
//!   `trap_ns` is not the program's), `lost`, `contradicted`, `unreadable` (times that memory could not be read),
//!   `pattern_gone` (requests whose route is by path because they had left memory), `unended` (requests left out because
//!   their end was not seen), `overhead` (parts of one core).
//! - `request`, one for each that ended: `route`, `method`, `path`, `id` (of its trace, or its own), `goroutine`, `end` (how that is known), `begin_ns`, `end_ns`, `by_state_ns`,
//!   `children`, `children_by_state_ns`.
//! - `route`: `route`, `count`, `p50_ns`, `p90_ns`, `p99_ns`, `longest_ns`, `by_state`: for each `total_ns`, `p50_ns`, `p99_ns`.
//! - `place`: `route` (or null), `state`, `reason`, `count`, `total_ns`, `longest_ns`, `woken_by_goroutines`, `stack`.
//! - `goroutines`, last: `by_state_ns` of all that were seen.

use std::io::{self, Write};

use fgspy_kernel::trace::Times;
use fgspy_profile::Profile;
use serde_json::{Map, Value, json};

use super::report::{identity, word};
use super::taken::Taken;
use super::waits::{Placed, totals};

/// Writes all of it.
pub(super) fn write(taken: &Taken, profile: &Profile, places: &Placed, out: &mut dyn Write) -> io::Result<()> {
    let (counts, trace) = (&taken.counts, &taken.trace);
    let mut line = |value: Value| writeln!(out, "{value}");
    line(json!({
        "kind": "trace", "pid": profile.target.pid, "go_version": profile.target.go_version,
        "start_ns": taken.start_ns, "end_ns": taken.end_ns, "hits": counts.all_hits(), "hit_ns": taken.hit_ns(),
        "trap_ns": taken.traps.emulated_ns, "lost": counts.lost, "contradicted": counts.contradicted,
        "unreadable": counts.unreadable, "pattern_gone": counts.pattern_gone, "unended": trace.unended(), "overhead": taken.overhead(),
    }))?;
    for one in &taken.requests {
        line(json!({
            "kind": "request", "route": one.route, "method": one.method, "path": one.path, "id": identity(one),
            "goroutine": one.goid, "end": if one.by_exit { "goroutine ended" } else { "handler returned" }, "begin_ns": one.begin_ns, "end_ns": one.end_ns,
            "by_state_ns": by_state(&one.own_ns), "children": one.children,
            "children_by_state_ns": by_state(&one.children_ns),
        }))?;
    }
    for (name, route) in trace.routes() {
        let states = (0u8..).zip(&route.by_class).filter(|(_, all)| all.count() > 0).map(|(number, all)| {
            let times = json!({"total_ns": all.sum(), "p50_ns": all.quantile(0.5), "p99_ns": all.quantile(0.99)});
            (word(number).to_owned(), times)
        });
        let durations = &route.durations;
        line(json!({
            "kind": "route", "route": name, "count": durations.count(), "p50_ns": durations.quantile(0.5),
            "p90_ns": durations.quantile(0.9), "p99_ns": durations.quantile(0.99), "longest_ns": durations.longest(),
            "by_state": states.collect::<Map<String, Value>>(), "children": route.children,
        }))?;
    }
    for (place, stack) in places {
        let frames: Vec<&str> = profile.frames(*stack).map(|frame| frame.name).collect();
        line(json!({
            "kind": "place", "route": place.route, "state": word(place.class), "count": place.count,
            "total_ns": place.total_ns, "longest_ns": place.longest_ns, "woken_by_goroutines": place.woken,
            "stack": frames,
        }))?;
    }
    line(json!({"kind": "goroutines", "by_state_ns": by_state(&totals(taken))}))
}

fn by_state(times: &Times) -> Map<String, Value> {
    let there = (0u8..).zip(times).filter(|(_, time)| **time > 0);
    there.map(|(number, time)| (word(number).to_owned(), Value::from(*time))).collect()
}
