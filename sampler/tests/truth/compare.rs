//! One goroutine as read from outside, against what the runtime says of it.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use fgspy_fixtures::dump::DumpedGoroutine;
use fgspy_fixtures::zoo::ZooKind;
use fgspy_goroutines::symbolize::frames;
use fgspy_goroutines::{Frames, Goroutine, Runtime, Status};

/// What a dump says of one source-level frame.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    function: String,
    file: String,
    line: u32,
    inlined: bool,
    /// Offset into the function; a dump gives it for frames that were not inlined.
    offset: Option<u64>,
}

/// Whether the runtime can have said the same: it was not running, and so not moving.
pub(crate) fn is_comparable(goroutine: &Goroutine) -> bool {
    !matches!(goroutine.status, Status::Running)
}

/// Whether the goroutine did something between being read and being dumped: time does not stand still when the target
/// goes on for its dump.
pub(crate) fn has_gone_on(runtime: &Runtime, goroutine: &Goroutine, truth: &DumpedGoroutine) -> bool {
    truth.unavailable || truth.status != runtime.doing(goroutine.status, goroutine.g.wait_reason)
}

/// Checks a goroutine of the zoo against what it announced of itself.
pub(crate) fn announced(runtime: &Runtime, goroutine: &Goroutine, kind: &ZooKind) -> Result<()> {
    let doing = runtime.doing(goroutine.status, goroutine.g.wait_reason);
    ensure!(kind.statuses.iter().any(|status| status == doing), "it is `{doing}`, not one of {:?}", kind.statuses);
    let labels: BTreeMap<String, String> = goroutine.labels.iter().cloned().collect();
    ensure!(labels == kind.labels.clone().unwrap_or_default(), "its labels are {labels:?}, not {:?}", kind.labels);
    let lines = lines(runtime, goroutine.stack.pcs());
    let running = goroutine.stack == Frames::Running;
    ensure!(
        running || lines.iter().any(|line| line.function == kind.function),
        "{} is not in {lines:#?}",
        kind.function
    );
    if let (Some(parent), Some(read)) = (kind.parent, goroutine.g.parent_goid) {
        ensure!(parent == read, "its parent is {read}, not {parent}");
    }
    Ok(())
}

/// Checks a goroutine against the runtime's dump of it: every frame, its state, its creator, its labels.
pub(crate) fn dumped(runtime: &Runtime, goroutine: &Goroutine, truth: &DumpedGoroutine) -> Result<()> {
    let Frames::Whole(pcs) = &goroutine.stack else { bail!("its stack is {:?}", goroutine.stack) };
    let ours = lines(runtime, pcs);
    let theirs: Vec<Line> = truth
        .frames
        .iter()
        .map(|frame| Line {
            function: frame.function.clone(),
            file: frame.file.clone(),
            line: frame.line,
            inlined: frame.inlined,
            offset: frame.offset,
        })
        .collect();
    match truth.elided {
        None => ensure!(ours == theirs, "{}", difference(&ours, &theirs)),
        Some(elided) => {
            let (head, tail) = theirs.split_at(elided.after);
            let missing = elided.count.unwrap_or(ours.len().saturating_sub(theirs.len()));
            ensure!(ours.len() == theirs.len() + missing, "{} frames, not {} + {missing}", ours.len(), theirs.len());
            ensure!(ours.starts_with(head), "{}", difference(&ours[..head.len()], head));
            ensure!(ours.ends_with(tail), "{}", difference(&ours[ours.len() - tail.len()..], tail));
        }
    }
    let doing = runtime.doing(goroutine.status, goroutine.g.wait_reason);
    ensure!(doing == truth.status, "it is `{doing}`, not `{}`", truth.status);
    ensure!((goroutine.g.locked_m != 0) == truth.locked, "locked to a thread: not as in the dump");
    if !truth.labels.is_empty() {
        ensure!(goroutine.labels == truth.labels, "its labels are {:?}, not {:?}", goroutine.labels, truth.labels);
    }
    creator(runtime, goroutine, truth)
}

fn creator(runtime: &Runtime, goroutine: &Goroutine, truth: &DumpedGoroutine) -> Result<()> {
    let Some(creator) = &truth.creator else { return Ok(()) };
    let ours = lines(runtime, &[goroutine.g.go_pc]).pop();
    let Some(ours) = ours else { bail!("its creator is not known; it is {}", creator.function) };
    ensure!(
        (&ours.function, &ours.file, ours.line) == (&creator.function, &creator.file, creator.line),
        "its creator is {ours:?}, not {creator:?}"
    );
    if let Some(goid) = creator.goid {
        ensure!(goroutine.g.parent_goid == Some(goid), "it was created by {:?}, not {goid}", goroutine.g.parent_goid);
    }
    Ok(())
}

fn lines(runtime: &Runtime, pcs: &[u64]) -> Vec<Line> {
    let mut lines = Vec::new();
    for (frame, pc) in frames(runtime, pcs, false).iter().zip(pcs) {
        let vaddr = pc.wrapping_sub(runtime.bias);
        let entry = runtime.binary.func_at(frame.address.wrapping_sub(runtime.bias)).map_or(vaddr, |func| func.entry);
        lines.extend(frame.lines.iter().map(|line| Line {
            // The runtime calls it by its keyword.
            function: if line.function == "runtime.gopanic" { "panic".into() } else { line.function.to_string() },
            file: line.file.to_string(),
            line: line.line,
            inlined: line.inlined,
            offset: (!line.inlined).then(|| vaddr.wrapping_sub(entry)).filter(|offset| *offset > 0),
        }));
    }
    lines
}

fn difference(ours: &[Line], theirs: &[Line]) -> String {
    let first = ours.iter().zip(theirs).take_while(|(ours, theirs)| ours == theirs).count();
    format!(
        "frame {first} of {} (the runtime has {}):\n  read  {:?}\n  truth {:?}",
        ours.len(),
        theirs.len(),
        ours.get(first..).map(|rest| rest.iter().take(3).collect::<Vec<_>>()),
        theirs.get(first..).map(|rest| rest.iter().take(3).collect::<Vec<_>>()),
    )
}
