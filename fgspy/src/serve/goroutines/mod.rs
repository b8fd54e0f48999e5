//! The goroutine profile of `runtime/pprof`, in its three forms.

mod counted;
mod pprof;

use std::collections::HashMap;
use std::io::{self, Write};

use fgspy_gobin::SourceFrame;
use fgspy_goroutines::labels::Labels;
use fgspy_goroutines::symbolize::{self, is_shown};
use fgspy_goroutines::{Frames, Goroutine, Runtime};
use fgspy_kernel::monotonic_ns;
use fgspy_profile::Target;
use fgspy_sampler::GoProcess;

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
#[derive(Debug, PartialEq, Eq)]
struct Group<'a> {
    count: i64,
    place: Place<'a>,
    labels: &'a Labels,
}

/// A stack, or as much as is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place<'a> {
    /// Program counters, leaf first.
    pcs: &'a [u64],
    /// What is missing.
    missing: Option<Missing>,
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
        Look { runtime: &target.runtime, target: target.describe(), goroutines, now_ns: monotonic_ns() }
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
        self.goroutines.iter().filter(|goroutine| !self.runtime.is_system(goroutine.g.start_pc))
    }

    /// Puts together what is the same, in order of first appearance.
    fn groups(&self) -> Vec<Group<'a>> {
        let mut groups: Vec<Group<'a>> = Vec::new();
        let mut index = HashMap::new();
        for goroutine in self.user() {
            let (place, labels) = (Place::of(goroutine), &goroutine.labels);
            let at = *index.entry((place, labels)).or_insert_with(|| {
                groups.push(Group { count: 0, place, labels });
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(at) {
                group.count += 1;
            }
        }
        groups
    }

    /// The physical frames of a stack, each with its shown source lines, leaf first.
    fn frames(&self, pcs: &[u64]) -> Vec<Shown<'a>> {
        let mut inner: Option<String> = None;
        let mut shown = Vec::new();
        for frame in symbolize::frames(self.runtime, pcs, false) {
            let is_go = !frame.lines.is_empty();
            let mut lines = Vec::new();
            for line in frame.lines {
                let callee = inner.replace(line.function.to_string());
                if is_shown(&line, callee.as_deref()) {
                    lines.push(line);
                }
            }
            if !is_go || !lines.is_empty() {
                shown.push(Shown { address: frame.address, lines });
            }
        }
        shown
    }
}

/// A frame to show. Without lines it is code that is not Go's.
struct Shown<'a> {
    address: u64,
    lines: Vec<SourceFrame<'a>>,
}

impl<'a> Place<'a> {
    fn of(goroutine: &'a Goroutine) -> Place<'a> {
        let start = std::slice::from_ref(&goroutine.g.start_pc);
        match &goroutine.stack {
            Frames::Whole(pcs) => Place { pcs, missing: None },
            Frames::Cut(pcs) => Place { pcs, missing: Some(Missing::Outer) },
            Frames::Running => Place { pcs: start, missing: Some(Missing::Running) },
            Frames::Unsteady => Place { pcs: start, missing: Some(Missing::Unsteady) },
            Frames::Unreadable => Place { pcs: start, missing: Some(Missing::Unreadable) },
        }
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
