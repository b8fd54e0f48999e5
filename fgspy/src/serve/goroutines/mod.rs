//! The goroutine profile of `runtime/pprof`, in its three forms.

mod counted;
mod pprof;

use std::collections::HashMap;
use std::io::{self, Write};

use fgspy_gobin::SourceFrame;
use fgspy_goroutines::GoProcess;
use fgspy_goroutines::labels::Labels;
use fgspy_goroutines::symbolize::{self, is_shown};
use fgspy_goroutines::{Frames, Goroutine, Runtime};
use fgspy_perf::monotonic_ns;
use fgspy_profile::Target;

use crate::dump;

/// Where `net/http/pprof` stops too (`writeGoroutineStacks` in `runtime/pprof/pprof.go`).
const MAX_TEXT_BYTES: usize = 64 << 20;

/// All goroutines of a process, as they were just now.
pub(super) struct Look<'a> {
    runtime: &'a Runtime,
    target: Target,
    goroutines: &'a [Goroutine],
    now_ns: u64,
}

/// Goroutines with the same stack and labels.
struct Group<'a> {
    count: i64,
    /// Leaf first.
    frames: Vec<Frame<'a>>,
    /// What is missing from the stack.
    missing: Option<Missing>,
    labels: &'a Labels,
}

/// A physical frame.
struct Frame<'a> {
    /// As the runtime gives it: the return address, mostly.
    pc: u64,
    /// The address to look up, mostly one less.
    address: u64,
    /// Its source lines, innermost first; empty for code that is not Go's.
    lines: Vec<SourceFrame<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Missing {
    /// Frames at the root.
    Outer,
    /// All but where the goroutine started.
    Running,
    Unsteady,
    Unreadable,
}

impl Missing {
    /// The name of the frame that stands for what is missing.
    const fn name(self) -> &'static str {
        match self {
            Missing::Outer => "[outer frames cut]",
            Missing::Running => "[running: /debug/fgprof shows where]",
            Missing::Unsteady => "[moved each time it was read]",
            Missing::Unreadable => "[stack could not be read]",
        }
    }
}

impl<'a> Look<'a> {
    pub(super) fn new(target: &'a GoProcess, goroutines: &'a [Goroutine]) -> Look<'a> {
        Look { runtime: &target.runtime, target: fgspy_sampler::describe(target), goroutines, now_ns: monotonic_ns() }
    }

    /// As `debug=0`: gzipped pprof with one value, `goroutine/count`.
    pub(super) fn write_pprof(&self, out: &mut dyn Write) -> io::Result<()> {
        pprof::write(self, out)
    }

    /// As `debug=1`: text, equal stacks counted together.
    pub(super) fn write_counted(&self, out: &mut dyn Write) -> io::Result<()> {
        counted::write(self, out)
    }

    /// As `debug=2`: text, in the form of the runtime's dumps, up to 64 MiB.
    pub(super) fn write_each(&self, out: &mut dyn Write) -> io::Result<()> {
        let moment =
            dump::Moment { runtime: self.runtime, goroutines: self.goroutines, now_ns: self.now_ns, all: false };
        let mut limited = Limited { out, left: MAX_TEXT_BYTES };
        match dump::write_text(&moment, &mut limited) {
            Err(_) if limited.left == 0 => {
                write!(out, "\n\n[cut at 64 MiB: there are {} goroutines; debug=1 counts them]\n", self.user().count())
            }
            result => result,
        }
    }

    /// The goroutines to show: all but the runtime's own.
    fn user(&self) -> impl Iterator<Item = &'a Goroutine> {
        self.goroutines.iter().filter(|goroutine| !self.runtime.is_system(goroutine.g.start_pc, goroutine.stack.pcs()))
    }

    /// Puts together what is the same, in no particular order.
    fn groups(&self) -> Vec<Group<'a>> {
        // Stacks that differ in nothing but wrappers are the same in the end; to look up each of them once is enough.
        let mut stacks = HashMap::new();
        for goroutine in self.user() {
            let (pcs, missing) = stack(goroutine);
            *stacks.entry((pcs, missing, &goroutine.labels)).or_insert(0) += 1;
        }
        let mut groups: Vec<Group<'a>> = Vec::new();
        let mut index = HashMap::new();
        for ((pcs, missing, labels), count) in stacks {
            let frames = self.frames(pcs);
            let shown: Vec<u64> = frames.iter().map(|frame| frame.pc).collect();
            let at = *index.entry((shown, missing, labels)).or_insert_with(|| {
                groups.push(Group { count: 0, frames, missing, labels });
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(at) {
                group.count += count;
            }
        }
        groups
    }

    /// The frames of a stack without those that are nothing but wrappers made by the compiler, as the runtime has it
    /// (`tracebackPCs` in `runtime/traceback.go`).
    fn frames(&self, pcs: &[u64]) -> Vec<Frame<'a>> {
        let mut callee: Option<String> = None;
        let mut frames = Vec::new();
        for (frame, &pc) in symbolize::frames(self.runtime, pcs, false).into_iter().zip(pcs) {
            let is_go = !frame.lines.is_empty();
            let mut lines = frame.lines;
            lines.retain(|line| {
                let callee = callee.replace(line.function.to_string());
                line.function == GOEXIT || is_shown(line, callee.as_deref())
            });
            if !is_go || !lines.is_empty() {
                frames.push(Frame { pc, address: frame.address, lines });
            }
        }
        frames
    }
}

/// The root of every stack. It counts as a frame, but is not shown.
const GOEXIT: &str = "runtime.goexit";

impl<'a> Frame<'a> {
    /// The lines to show; `None` for a frame that has none.
    fn shown(&self) -> Option<&[SourceFrame<'a>]> {
        match self.lines.as_slice() {
            [line] if line.function == GOEXIT => None,
            lines => Some(lines),
        }
    }
}

/// The program counters of a goroutine's stack, and what they lack.
fn stack(goroutine: &Goroutine) -> (&[u64], Option<Missing>) {
    let start = std::slice::from_ref(&goroutine.g.start_pc);
    match &goroutine.stack {
        Frames::Whole(pcs) => (pcs, None),
        Frames::Cut(pcs) => (pcs, Some(Missing::Outer)),
        Frames::Running => (start, Some(Missing::Running)),
        Frames::Unsteady => (start, Some(Missing::Unsteady)),
        Frames::Unreadable => (start, Some(Missing::Unreadable)),
    }
}

/// Fails once so many bytes were written.
struct Limited<'w> {
    out: &'w mut dyn Write,
    left: usize,
}

impl Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let some = bytes.get(..self.left).unwrap_or(bytes);
        let written = self.out.write(some)?;
        self.left -= written.min(self.left);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_limit() {
        let mut out = Vec::new();
        let mut limited = Limited { out: &mut out, left: 5 };
        assert!(limited.write_all(b"abc").is_ok());
        assert_eq!(limited.left, 2);
        assert!(limited.write_all(b"defg").is_err());
        assert_eq!(limited.left, 0);
        assert_eq!(out, b"abcde");
    }
}
