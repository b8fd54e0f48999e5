//! The lines of JSON that are written while a trace goes on. The format is described in `json`.

use fgspy_probes::OneRequest;
use fgspy_probes::Times;
use fgspy_profile::Target;
use serde_json::{Map, Value, json};

use super::words::{identity, state_word};

/// The first line.
pub(super) fn begin(target: &Target, start_ns: u64, out: &mut Vec<u8>) {
    let first = json!({"kind": "begin", "pid": target.pid, "go_version": target.go_version, "start_ns": start_ns});
    out.extend(format!("{first}\n").into_bytes());
}

/// The line of a request that is over.
pub(super) fn request(one: &OneRequest, out: &mut Vec<u8>) {
    let line = json!({
        "kind": "request", "route": one.route, "method": one.method, "path": one.path, "id": identity(one),
        "goroutine": one.goid, "end": if one.by_exit { "goroutine ended" } else { "handler returned" },
        "begin_ns": one.begin_ns, "end_ns": one.end_ns, "by_state_ns": by_state(&one.own_ns), "children": one.children,
        "children_by_state_ns": by_state(&one.children_ns),
    });
    out.extend(format!("{line}\n").into_bytes());
}

/// Times by the words of states, without states that took no time.
pub(super) fn by_state(times: &Times) -> Map<String, Value> {
    let there = (0u8..).zip(times).filter(|(_, time)| **time > 0);
    there.map(|(number, time)| (state_word(number).to_owned(), Value::from(*time))).collect()
}
