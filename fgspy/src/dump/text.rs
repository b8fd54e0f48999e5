//! As the runtime prints goroutines, so that eyes and tools that know its dumps know ours.

use std::io::{self, Write};

use fgspy_goroutines::symbolize::{self, Frame};
use fgspy_goroutines::{Frames, Goroutine, Status};

use super::{Moment, is_user_function};

/// Prints goroutines in the runtime's own form. Arguments are not read: where the runtime prints their raw words, this
/// prints `...`.
pub(crate) fn write(moment: &Moment<'_>, out: &mut dyn Write) -> io::Result<()> {
    for (i, goroutine) in moment.shown().enumerate() {
        if i > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}", header(moment, goroutine))?;
        match &goroutine.stack {
            Frames::Running => {
                let thread = goroutine.tid.map_or(String::new(), |tid| format!(" on thread {tid}"));
                writeln!(out, "\t(running{thread}; its stack changes while it runs: `fgspy record` shows where)")?;
            }
            Frames::Unsteady => writeln!(out, "\t(moved each time it was read)")?,
            Frames::Unreadable => writeln!(out, "\t(its stack could not be read)")?,
            Frames::Whole(_) | Frames::Cut(_) => {}
        }
        write_frames(moment, goroutine, out)?;
        write_creator(moment, goroutine, out)?;
    }
    Ok(())
}

/// `goroutine 18 [chan receive, 2 minutes, locked to thread] {"kind":"worker"}:`, in the words and the order of the runtime's
/// `goroutineheader` (`runtime/traceback.go`).
fn header(moment: &Moment<'_>, goroutine: &Goroutine) -> String {
    let mut header =
        format!("goroutine {} [{}", goroutine.g.goid, moment.runtime.doing(goroutine.status, goroutine.g.wait_reason));
    if goroutine.status == Status::Leaked {
        header += " (leaked)";
    }
    if goroutine.g.is_scanned() {
        header += " (scan)";
    }
    if let Some(minutes) = moment.minutes_waiting(goroutine) {
        header += &format!(", {minutes} minutes");
    }
    if goroutine.g.locked_m != 0 {
        header += ", locked to thread";
    }
    header += "]";
    if !goroutine.labels.is_empty() {
        let labels: Vec<String> = goroutine.labels.iter().map(|(key, value)| format!("{key:?}: {value:?}")).collect();
        header += &format!(" {{{}}}", labels.join(", "));
    }
    header + ":"
}

fn write_frames(moment: &Moment<'_>, goroutine: &Goroutine, out: &mut dyn Write) -> io::Result<()> {
    let pcs = goroutine.stack.pcs();
    for (frame, &pc) in symbolize::frames(moment.runtime, pcs, false).iter().zip(pcs) {
        if frame.lines.is_empty() {
            writeln!(out, "[not Go code](...)\n\t?:0 pc={pc:#x}")?;
        }
        for line in frame.lines.iter().filter(|line| moment.all || is_user_function(&line.function)) {
            // The runtime calls it by its keyword.
            let name = if line.function == "runtime.gopanic" { "panic" } else { &line.function };
            write!(out, "{name}(...)\n\t{}:{}", line.file, line.line)?;
            if !line.inlined {
                write_offset(moment, frame, pc, out)?;
            }
            writeln!(out)?;
        }
    }
    match goroutine.stack {
        Frames::Cut(_) => writeln!(out, "...additional frames elided..."),
        _ => Ok(()),
    }
}

/// ` +0x1d`: how far the program counter is into its function.
fn write_offset(moment: &Moment<'_>, frame: &Frame<'_>, pc: u64, out: &mut dyn Write) -> io::Result<()> {
    let runtime = moment.runtime;
    let entry = runtime.binary.func_at(frame.address.wrapping_sub(runtime.bias)).map(|function| function.entry);
    match entry.map(|entry| pc.wrapping_sub(runtime.bias).wrapping_sub(entry)) {
        Some(offset) if offset > 0 => write!(out, " +{offset:#x}"),
        _ => Ok(()),
    }
}

fn write_creator(moment: &Moment<'_>, goroutine: &Goroutine, out: &mut dyn Write) -> io::Result<()> {
    // Goroutine 1 was started by the program's own entry, which is of no interest.
    if goroutine.g.go_pc == 0 || (goroutine.g.goid == 1 && !moment.all) {
        return Ok(());
    }
    let frames = symbolize::frames(moment.runtime, &[goroutine.g.go_pc], false);
    let Some((frame, line)) = frames.first().and_then(|frame| Some((frame, frame.lines.last()?))) else {
        return Ok(());
    };
    write!(out, "created by {}", line.function)?;
    if let Some(parent) = goroutine.g.parent_goid.filter(|parent| *parent != 0) {
        write!(out, " in goroutine {parent}")?;
    }
    write!(out, "\n\t{}:{}", line.file, line.line)?;
    write_offset(moment, frame, goroutine.g.go_pc, out)?;
    writeln!(out)
}
