//! `fgspy trace`: exact states of goroutines and requests, through probes in the target.

pub(crate) mod args;
mod json;
mod perfetto;
mod report;
mod taken;
mod waits;

use std::time::{Duration, Instant};

use anyhow::Context;
use fgspy_export::Format;
use fgspy_gobin::probes::{self, Cost};
use fgspy_kernel::monotonic_ns;
use fgspy_kernel::trace::{Options, Tracer};
use fgspy_memory::{Fate, OpenError, Process};
use fgspy_sampler::GoProcess;
use fgspy_trace::{Limits, Trace, pattern, plan};

use crate::requests::place::Place;
use crate::requests::screen;
use crate::requests::style::Style;
use crate::say::say;
use crate::signals;
use args::{States, TraceArgs, TraceFormat};
use taken::{Ended, Taken};

/// How often the kernel's ring is emptied.
const POLL: Duration = Duration::from_millis(25);
/// How often it is reckoned what the probes cost.
const RECKON: Duration = Duration::from_millis(250);
/// Single changes of state and requests that are kept for files.
const MAX_EVENTS: usize = 4_000_000;
/// The width of a report that is not for a terminal, and the least and the greatest of one that is.
const COLUMNS: usize = 100;
const MIN_COLUMNS: usize = 40;
const MAX_COLUMNS: usize = 160;

/// What is said when the target has its probes.
const SET: &str = "The probes are set; Ctrl-C takes them out and reports.";

/// What is said when the target may not even be read: the reason that follows speaks of reading only.
const RIGHTS: &str = "fgspy trace needs CAP_BPF and CAP_PERFMON besides the right to read the process: sudo; or sudo setcap \
    cap_bpf,cap_perfmon,cap_sys_ptrace+ep $(command -v fgspy); Docker: --cap-add BPF --cap-add PERFMON too; Kubernetes: BPF and \
    PERFMON too.";

/// There is nowhere to put a probe.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} could only be probed where the kernel has to step through an instruction, which may slow the program down \
     tenfold; --allow-slow-probes does it all the same"
)]
pub(crate) struct SlowProbes(String);

/// Traces a process, and reports.
pub(crate) fn run(args: &TraceArgs) -> anyhow::Result<()> {
    let signals = signals::requests()?;
    let process = Process::open(args.pid).inspect_err(|error| {
        if matches!(error, OpenError::PermissionDenied { .. }) {
            say(RIGHTS);
        }
    })?;
    let place = Place::prepare(args.output.as_deref())?;
    let target = GoProcess::attach(process)?;
    let sites = probes::sites(&target.runtime.binary);
    if let Some(slow) = sites.iter().find(|site| site.cost == Cost::SingleStepped)
        && !args.allow_slow_probes
    {
        return Err(SlowProbes(slow.function.clone()).into());
    }
    let mut tracer = Tracer::start(&plan(args.pid, &target.runtime, &sites, options(args)?))?;
    say(SET);
    let trace = Trace::new(Limits::default());
    let mut taken = Taken::new(trace, tracer.traps(), &sites, tracer.start_ns(), args.format, MAX_EVENTS);
    taken.ended = follow(args, &signals.stop, &target, &mut tracer, &mut taken)?;
    taken.end_ns = monotonic_ns();
    tracer.detach();
    tracer.poll(&mut |event| taken.take(event));
    taken.counts = tracer.counts()?;
    // Without states, the kernel knows goroutines only as those who served something.
    if args.states == States::On {
        taken.goroutines = tracer.goroutines()?;
        taken.gone = tracer.ended()?;
    }
    write(args, &place, &target, &taken)
}

fn options(args: &TraceArgs) -> anyhow::Result<Options> {
    let filter = pattern::filter(args.request.as_deref(), args.route.as_deref(), args.trace.as_deref())
        .context("which requests to trace was not understood")?;
    let states = args.states == States::On;
    let threshold = u64::try_from(args.block_threshold.as_nanos()).unwrap_or(u64::MAX);
    Ok(Options {
        states,
        transitions: states && args.format == TraceFormat::Perfetto,
        block_threshold_ns: states.then_some(threshold),
        filter,
        // The table has the slowest requests one by one, and no others.
        ids_of_slow: args.format == TraceFormat::Table,
        ..Options::default()
    })
}

/// Takes events until the time is over, somebody stops it, the target ends, or the probes cost too much.
fn follow(
    args: &TraceArgs,
    stop: &fgspy_sampler::Stop,
    target: &GoProcess,
    tracer: &mut Tracer,
    taken: &mut Taken,
) -> anyhow::Result<Ended> {
    let start = Instant::now();
    let (mut reckoned, mut cost, mut slow_ns) = (start, 0.0, 0);
    loop {
        let left = args.duration.map_or(POLL, |duration| duration.saturating_sub(start.elapsed()).min(POLL));
        let stopped = stop.sleep(left);
        tracer.poll(&mut |event| taken.take(event));
        if taken.trace.slow_from_ns() != slow_ns {
            slow_ns = taken.trace.slow_from_ns();
            tracer.set_slow(slow_ns)?;
        }
        match target.process.still_same() {
            Fate::Same => {}
            Fate::Execed => return Ok(Ended::TargetReplaced),
            Fate::Exited => return Ok(Ended::TargetExited),
        }
        if stopped {
            return Ok(Ended::Stopped);
        }
        if args.duration.is_some_and(|duration| start.elapsed() >= duration) {
            return Ok(Ended::Duration);
        }
        if reckoned.elapsed() >= RECKON {
            let now = tracer.counts()?.cost_ns(&taken.trap_ns);
            let share = (now - cost) / 1e9 / reckoned.elapsed().as_secs_f64().max(1e-9);
            (reckoned, cost) = (Instant::now(), now);
            if share > args.max_overhead {
                return Ok(Ended::TooDear { share });
            }
        }
    }
}

fn write(args: &TraceArgs, place: &Place, target: &GoProcess, taken: &Taken) -> anyhow::Result<()> {
    let (profile, places) = waits::profile(target, taken, args.block_threshold);
    match args.format {
        TraceFormat::Table => {
            let (columns, style) = match place.is_stdout() && screen::is_terminal() {
                true => (screen::size().0.clamp(MIN_COLUMNS, MAX_COLUMNS), Style::of_stdout()),
                false => (COLUMNS, Style::PLAIN),
            };
            let lines = report::lines(args, taken, &profile, &places, columns, style);
            place.write(|out| lines.iter().try_for_each(|line| writeln!(out, "{line}")))?;
            return Ok(());
        }
        TraceFormat::Json => place.write(|out| json::write(taken, &profile, &places, out))?,
        TraceFormat::Perfetto => place.write(|out| perfetto::write(target, taken, out))?,
        TraceFormat::Pprof => place.write(|out| fgspy_export::write(&profile, Format::Pprof, out))?,
        TraceFormat::Flamegraph => place.write(|out| fgspy_export::write(&profile, Format::FlameGraph, out))?,
    }
    for line in report::closing(taken) {
        say(line);
    }
    Ok(())
}
