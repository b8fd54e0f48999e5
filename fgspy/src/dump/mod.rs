//! `fgspy dump`: every goroutine now.

mod json;
mod text;

use std::io::{self, BufWriter, Write};

use fgspy_goroutines::{Goroutine, Runtime, census};
use fgspy_perf::monotonic_ns;
use fgspy_sampler::Stop;

use crate::args::dump::DumpArgs;
use crate::exit::Failure;
use crate::output::error::OutputError;
use crate::terminal::message::print_message;
use crate::watchdog;

pub(crate) use text::write as write_text;

/// Prints every goroutine of a process.
pub(crate) fn run(args: &DumpArgs) -> Result<(), Failure> {
    watchdog::watch(Stop::new(), Some(watchdog::ONE_LOOK))?;
    let target = args.runtime.open(args.pid)?;
    let goroutines = census(&target.runtime, &target.memory)?;
    // Before the goroutines are printed: what is said of the process is of the moment at which they were read.
    let held = target.process.held().map(|held| held.to_string());
    let notes: Vec<String> = fgspy_sampler::remarks(&target).into_iter().chain(held).collect();
    let mut out = BufWriter::new(io::stdout().lock());
    let moment = Moment { runtime: &target.runtime, goroutines: &goroutines, now_ns: monotonic_ns(), all: args.all };
    let written = match args.json {
        true => json::write(&moment, &fgspy_sampler::describe(&target), &notes, &mut out),
        false => text::write(&moment, &mut out),
    };
    written.and_then(|()| out.flush()).map_err(OutputError::to_stdout)?;
    for note in &notes {
        print_message(format_args!("Note: {note}"));
    }
    Ok(())
}

/// All goroutines at one moment.
pub(crate) struct Moment<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) goroutines: &'a [Goroutine],
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) now_ns: u64,
    /// The runtime's own goroutines and frames too.
    pub(crate) all: bool,
}

impl Moment<'_> {
    /// The goroutines to show.
    fn shown(&self) -> impl Iterator<Item = &Goroutine> {
        self.goroutines
            .iter()
            .filter(|goroutine| self.all || !self.runtime.is_system(goroutine.g.start_pc, goroutine.stack.pcs()))
    }

    /// Whole minutes that a goroutine has waited, as far as the runtime knows: it notes the time only when a garbage
    /// collection finds the goroutine waiting.
    fn minutes_waiting(&self, goroutine: &Goroutine) -> Option<u64> {
        use fgspy_goroutines::Status;
        let waits = matches!(goroutine.status, Status::Waiting | Status::Syscall);
        let since = u64::try_from(goroutine.g.wait_since_ns).ok().filter(|since| waits && *since > 0)?;
        Some(self.now_ns.checked_sub(since)? / 60_000_000_000).filter(|minutes| *minutes > 0)
    }
}

/// Whether the runtime's dumps show a function unless asked for everything: all but the runtime's own, of which only
/// exported ones are shown (`runtime/traceback.go`, `showfuncinfo`).
fn is_user_function(name: &str) -> bool {
    match name.strip_prefix("runtime.") {
        Some(rest) => rest.starts_with(|c: char| c.is_ascii_uppercase()) || rest == "gopanic",
        None => true,
    }
}
