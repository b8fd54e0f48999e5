//! A trace in Chrome's trace event format, which ui.perfetto.dev, chrome://tracing and speedscope open: a track for each
//! goroutine with its states as slices, one for each request, and an arrow from who ended a wait to who had waited.

use std::collections::HashMap;
use std::io::{self, Write};

use fgspy_kernel::trace::{Event, RUNNING};
use fgspy_sampler::GoProcess;
use serde_json::{Value, json};

use super::report::{identity, word};
use super::taken::Taken;

/// A state that has begun.
struct Open {
    since_ns: u64,
    class: u8,
    reason: u8,
}

/// Writes all of it.
pub(super) fn write(target: &GoProcess, taken: &Taken, out: &mut dyn Write) -> io::Result<()> {
    let pid = target.process.pid();
    write!(out, "{{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
    let name = target.describe().executable;
    write!(out, "{}", json!({"ph": "M", "name": "process_name", "pid": pid, "args": {"name": name}}))?;
    let mut event = |value: Value| write!(out, ",\n{value}");
    let mut named: HashMap<u64, ()> = HashMap::new();
    let mut open: HashMap<u64, Open> = HashMap::new();
    let mut unnumbered: HashMap<u64, Open> = HashMap::new();
    let mut arrows = 0u64;
    for transition in &taken.transitions {
        let &Event::Transition { time_ns, g, goid, class, reason, start_pc, .. } = transition else { continue };
        let next = Open { since_ns: time_ns, class, reason };
        // A goroutine may get its number after it was made runnable.
        if goid == 0 {
            unnumbered.insert(g, next);
            continue;
        }
        if named.insert(goid, ()).is_none() {
            let function = target.runtime.function_at(start_pc).unwrap_or_default();
            let name = format!("goroutine {goid} {function}");
            event(json!({"ph": "M", "name": "thread_name", "pid": pid, "tid": goid, "args": {"name": name}}))?;
        }
        if let Some(mut before) = unnumbered.remove(&g).or_else(|| open.remove(&goid)) {
            if transition.was_at_work() {
                before.class = RUNNING;
            }
            event(slice(target, taken, pid, goid, &before, time_ns))?;
        }
        if let Some(waker) = transition.woken_by() {
            arrows += 1;
            let at = micros(taken, time_ns);
            let arrow = |ph: &str, tid: u64| json!({"ph": ph, "bp": "e", "cat": "wake", "name": "wakes", "id": arrows, "pid": pid, "tid": tid, "ts": at});
            event(arrow("s", waker))?;
            event(arrow("f", goid))?;
        }
        if !transition.is_end_of_goroutine() {
            open.insert(goid, next);
        }
    }
    for (goid, last) in &open {
        event(slice(target, taken, pid, *goid, last, taken.end_ns.max(last.since_ns)))?;
    }
    for one in &taken.requests {
        let name = format!("{} {}", one.method, one.path);
        let args = json!({"route": one.route, "id": identity(one), "goroutine": one.goid});
        for (ph, time_ns) in [("b", one.begin_ns), ("e", one.end_ns)] {
            event(
                json!({"ph": ph, "cat": "request", "name": name, "id": one.number, "pid": pid, "tid": one.goid, "ts": micros(taken, time_ns), "args": args}),
            )?;
        }
    }
    writeln!(out, "]}}")
}

fn slice(target: &GoProcess, taken: &Taken, pid: u32, goid: u64, state: &Open, end_ns: u64) -> Value {
    let (from, to) = (micros(taken, state.since_ns), micros(taken, end_ns));
    let mut value = json!({"ph": "X", "cat": "state", "name": word(state.class), "pid": pid, "tid": goid, "ts": from, "dur": to - from});
    if state.reason != 0 {
        let reason = target.runtime.wait_reason(state.reason);
        if let Some(object) = value.as_object_mut() {
            object.insert("args".into(), json!({ "reason": reason }));
        }
    }
    value
}

/// The format counts microseconds; from the start, so that no digit is lost.
fn micros(taken: &Taken, time_ns: u64) -> f64 {
    time_ns.saturating_sub(taken.start_ns) as f64 / 1e3
}
