//! `fgspy trace`: exact states of goroutines and requests, through probes in the target.

mod accounting;
mod capture;
mod follow;
mod json;
mod json_lines;
mod overhead;
mod perfetto;
pub(crate) mod probe_check;
mod stream;
mod text;
mod unfinished;
mod waits;
mod words;

#[cfg(test)]
mod tests;

use std::time::Duration;

use fgspy_export::Format;
use fgspy_goroutines::GoProcess;
use fgspy_memory::{Fate, OpenError, Process};
use fgspy_perf::monotonic_ns;
use fgspy_probes::{OlderRequests, Options, Tracer, filter, plan, sites, sites::Cost};

use crate::args::trace::{States, TraceArgs, TraceFormat};
use crate::exit::{Context, ExitStatus, Failure, Status};
use crate::output::destination::Destination;
use crate::output::record_file::RecordFile;
use crate::terminal::message::print_message;
use crate::terminal::screen;
use crate::{signals, watchdog};
use capture::Capture;
use overhead::Governor;
use perfetto::Recorder;
use stream::Stream;

/// Bytes of the ring where every change of state is sent: half a million a second fill it in 0.8 seconds. On a busy machine
/// fgspy may have to wait for a CPU, and the ring for a thread that was preempted while it wrote.
const RING_OF_TRANSITIONS: u32 = 32 << 20;

/// The message when the probes are set.
const SET: &str = "The probes are set; Ctrl-C removes them and prints the report.";

/// The message when the target may not even be read: the reason that follows is about reading only.
const RIGHTS: &str = "fgspy trace needs CAP_BPF and CAP_PERFMON in addition to the right to read the process: sudo; or sudo setcap \
    cap_bpf,cap_perfmon,cap_sys_ptrace+ep $(command -v fgspy); Docker: --cap-add BPF --cap-add PERFMON too; Kubernetes: BPF and \
    PERFMON too.";

/// Probes are set in executables only.
#[derive(Debug, thiserror::Error)]
#[error(
    "the Go runtime of this process is in the shared library {0}, and fgspy trace sets probes in executables only; \
     fgspy requests and fgspy record work for it"
)]
pub(crate) struct InLibrary(String);

impl ExitStatus for InLibrary {
    fn status(&self) -> Status {
        Status::NotGo
    }
}

/// Traces a process, and reports.
pub(crate) fn run(args: &TraceArgs) -> Result<(), Failure> {
    let signals = signals::catch()?;
    watchdog::watch(signals.stop.clone(), args.duration)?;
    let process = Process::open(args.pid).inspect_err(|error| {
        if matches!(error, OpenError::PermissionDenied { .. }) {
            print_message(RIGHTS);
        }
    })?;
    let destination = Destination::prepare(args.output.as_deref())?;
    let target = args.runtime.attach(process)?;
    if let Some(library) = &target.library {
        return Err(InLibrary(library.path().display().to_string()).into());
    }
    if target.runtime.binary.has_experiment("mapsplitgroup") {
        print_message(
            "Note: the program was built with GOEXPERIMENT=mapsplitgroup. The probes cannot read headers from its maps, so \
             requests have no ids here; fgspy requests has them.",
        );
    }
    let mut sites = sites::sites(&target.runtime.binary);
    if let Some(slow) = sites.iter().find(|site| site.cost == Cost::SingleStepped)
        && !args.allow_slow_probes
    {
        return Err(probe_check::SlowProbes(slow.function.clone()).into());
    }
    let options = options(args)?;
    let filter = options.filter.clone();
    let plan = plan(args.pid, &target.runtime, &sites, options);
    sites.retain(|site| plan.probes.iter().any(|set| set.file_offset == site.file_offset));
    let mut tracer = Tracer::start(&plan)?;
    let used_before = target.process.cpu_time();
    probe_check::must_be_there(&target, &sites)?;
    let mut governor = Governor::new(args.max_overhead, &target.process);
    let stream = stream(args, &destination, &target, tracer.start_ns())?;
    let partial = stream
        .out()
        .and_then(RecordFile::name)
        .map(|name| format!(" Until then the file is called {}.", name.display()));
    let earlier = OlderRequests::new(&target.runtime, filter, tracer.start_ns());
    let probes = (tracer.trap_cost(), sites.as_slice());
    let mut capture = Capture::new(earlier, stream, probes, tracer.start_ns(), governor.allowance());
    // Should the target have just ended, following it finds out at once.
    follow::look(&target, &mut tracer, &mut capture).ok();
    print_message(format_args!("{SET}{}", partial.unwrap_or_default()));
    capture.end_reason = follow::follow(args, &signals.stop, &target, &mut tracer, &mut governor, &mut capture)?;
    capture.end_ns = monotonic_ns();
    let are_there = tracer.counts()?.all_hits() > 0
        || fgspy_probes::sites::without_breakpoint(&target.runtime, &target.memory, &sites)
            .is_ok_and(|unset| unset.is_empty());
    capture.earlier.again(&target.runtime, &target.memory, &monotonic_ns).ok();
    tracer.detach();
    tracer.poll(&mut |event| capture.add(event));
    if target.process.still_same() == Fate::Same {
        // A target that has ended meanwhile cannot be read.
        capture.earlier.confirm(&target.runtime, &target.memory, &monotonic_ns).ok();
        capture.used = target.process.cpu_time().zip(used_before).map(|(now, before)| now.saturating_sub(before));
    }
    capture.counts = tracer.counts()?;
    capture.allowance = governor.allowance();
    // Without states, the kernel has only goroutines that served a request.
    if args.states == States::On {
        capture.goroutines = tracer.goroutines()?;
        capture.ended_goroutines = tracer.ended()?;
    }
    let (hits, traced) = (capture.counts.all_hits(), Duration::from_nanos(capture.duration_ns()));
    let finding = capture.used.and_then(|used| probe_check::finding(hits, traced, args.states, used, are_there));
    if destination.may_wait() {
        signals.may_wait();
    }
    write(args, &destination, &target, capture)?;
    finding.map_or(Ok(()), |finding| Err(finding.into()))
}

/// What is written while the trace is taken, if the format has such.
fn stream<'a>(
    args: &TraceArgs,
    destination: &Destination,
    target: &'a GoProcess,
    start_ns: u64,
) -> Result<Stream<'a>, Failure> {
    Ok(match args.format {
        TraceFormat::Table | TraceFormat::Pprof | TraceFormat::Flamegraph => Stream::None,
        TraceFormat::Json => {
            let mut out = RecordFile::create(destination)?;
            out.record(|out| json_lines::begin(&fgspy_sampler::describe(target), start_ns, out));
            Stream::Json(out)
        }
        TraceFormat::Perfetto => Stream::Perfetto(Box::new(Recorder::new(target, RecordFile::create(destination)?))),
    })
}

fn options(args: &TraceArgs) -> Result<Options, Failure> {
    let filter = filter::filter(args.request.as_deref(), args.route.as_deref(), args.trace.as_deref())
        .context("the selection of requests is invalid")?;
    let states = args.states == States::On;
    let transitions = states && args.format == TraceFormat::Perfetto;
    let threshold = u64::try_from(args.block_threshold.as_nanos()).unwrap_or(u64::MAX);
    Ok(Options {
        states,
        transitions,
        block_threshold_ns: states.then_some(threshold),
        filter,
        // The table has the slowest requests one by one, and no others.
        ids_of_slow: args.format == TraceFormat::Table,
        ring_bytes: if transitions { RING_OF_TRANSITIONS } else { Options::default().ring_bytes },
        ..Options::default()
    })
}

fn write(
    args: &TraceArgs,
    destination: &Destination,
    target: &GoProcess,
    mut capture: Capture<'_>,
) -> Result<(), Failure> {
    let (profile, places) =
        capture.finished().profile(&target.runtime, fgspy_sampler::describe(target), args.block_threshold);
    let closing = accounting::sentences(&capture);
    let written = match (args.format, std::mem::replace(&mut capture.stream, Stream::None)) {
        (_, Stream::Perfetto(recorder)) => recorder.finish(capture.earlier.requests()),
        (_, Stream::Json(mut out)) => {
            let mut rest = Vec::new();
            json::write(&capture, &profile, &places, &mut rest)?;
            out.record(|out| out.append(&mut rest));
            out.finish()
        }
        (TraceFormat::Pprof, Stream::None) => {
            Ok(destination.write(|out| fgspy_export::write(&profile, Format::Pprof, out))?)
        }
        (TraceFormat::Flamegraph, Stream::None) => {
            Ok(destination.write(|out| fgspy_export::write(&profile, Format::FlameGraph, out))?)
        }
        (TraceFormat::Table | TraceFormat::Json | TraceFormat::Perfetto, Stream::None) => {
            let (columns, style) = screen::report_format(destination.is_stdout());
            let lines = text::lines(args, &capture, &profile, &places, columns, style);
            destination.write(|out| lines.iter().try_for_each(|line| writeln!(out, "{line}")))?;
            return Ok(());
        }
    };
    for line in closing {
        print_message(line);
    }
    written
}
