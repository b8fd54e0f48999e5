//! Goroutines as JSON, for `jq` and scripts.

use std::collections::BTreeMap;
use std::io::{self, Write};

use fgspy_goroutines::symbolize;
use fgspy_goroutines::{Frames, Goroutine, Status};
use fgspy_profile::Target;
use serde::Serialize;

use super::Moment;

/// Raised when a field changes its meaning or goes away; new fields do not count.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Dump<'a> {
    version: u32,
    pid: u32,
    executable: &'a str,
    go_version: &'a str,
    /// What is also said on standard error: that the process is stopped, for instance.
    notes: &'a [String],
    goroutines: Vec<OneGoroutine<'a>>,
}

#[derive(Serialize)]
struct OneGoroutine<'a> {
    id: u64,
    status: &'a str,
    /// The runtime's own words; only while it waits.
    wait_reason: Option<&'a str>,
    minutes_waiting: Option<u64>,
    /// Thread id as the target sees it.
    thread: Option<u32>,
    locked_to_thread: bool,
    /// One of the runtime's own.
    system: bool,
    labels: BTreeMap<&'a str, &'a str>,
    /// `whole`, `cut` (frames at the root are missing), `running`, `unsteady` or `unreadable`.
    stack_is: &'static str,
    /// Leaf first; inlined calls have entries of their own.
    stack: Vec<OneFrame>,
    created_by: Option<OneFrame>,
    parent: Option<u64>,
}

#[derive(Serialize)]
struct OneFrame {
    function: String,
    file: String,
    line: u32,
    inlined: bool,
    /// In the target's address space.
    address: String,
}

pub(crate) fn write(moment: &Moment<'_>, target: &Target, notes: &[String], out: &mut dyn Write) -> io::Result<()> {
    let dump = Dump {
        version: VERSION,
        pid: target.pid,
        executable: &target.executable,
        go_version: &target.go_version,
        notes,
        goroutines: moment.shown().map(|goroutine| one(moment, goroutine)).collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &dump)?;
    writeln!(out)
}

fn one<'a>(moment: &Moment<'a>, goroutine: &'a Goroutine) -> OneGoroutine<'a> {
    let (runtime, g) = (moment.runtime, &goroutine.g);
    let waits = matches!(goroutine.status, Status::Waiting | Status::Leaked) && g.wait_reason != 0;
    OneGoroutine {
        id: g.goid,
        status: goroutine.status.word(),
        wait_reason: waits.then(|| runtime.wait_reason(g.wait_reason)),
        minutes_waiting: moment.minutes_waiting(goroutine),
        thread: goroutine.tid,
        locked_to_thread: g.locked_m != 0,
        system: runtime.is_system(g.start_pc, goroutine.stack.pcs()),
        labels: goroutine.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
        stack_is: match goroutine.stack {
            Frames::Whole(_) => "whole",
            Frames::Cut(_) => "cut",
            Frames::Running => "running",
            Frames::Unsteady => "unsteady",
            Frames::Unreadable => "unreadable",
        },
        stack: frames(moment, goroutine.stack.pcs()),
        created_by: if g.go_pc == 0 { None } else { frames(moment, &[g.go_pc]).pop() },
        parent: g.parent_goid.filter(|parent| *parent != 0),
    }
}

fn frames(moment: &Moment<'_>, pcs: &[u64]) -> Vec<OneFrame> {
    let mut all = Vec::new();
    for frame in symbolize::frames(moment.runtime, pcs, false) {
        let address = format!("{:#x}", frame.address);
        if frame.lines.is_empty() {
            let (function, file) = ("[not Go code]".to_owned(), String::new());
            all.push(OneFrame { function, file, line: 0, inlined: false, address: address.clone() });
        }
        all.extend(frame.lines.iter().map(|line| OneFrame {
            function: line.function.to_string(),
            file: line.file.to_string(),
            line: line.line,
            inlined: line.inlined,
            address: address.clone(),
        }));
    }
    all
}
