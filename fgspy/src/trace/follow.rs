//! While the probes are set.

use std::time::{Duration, Instant};

use fgspy_goroutines::GoProcess;
use fgspy_memory::{Fate, ReadError};
use fgspy_perf::monotonic_ns;
use fgspy_probes::Tracer;
use fgspy_sampler::Stop;

use super::capture::{Capture, EndReason};
use super::overhead::Governor;
use super::stream::Stream;
use crate::args::trace::TraceArgs;
use crate::exit::Failure;

/// How often the kernel's ring is emptied.
const POLL: Duration = Duration::from_millis(25);

/// Takes events until the time is over, the user stops it, the target ends, or the probes cost too much.
pub(super) fn follow(
    args: &TraceArgs,
    stop: &Stop,
    target: &GoProcess,
    tracer: &mut Tracer,
    governor: &mut Governor,
    capture: &mut Capture<'_>,
) -> Result<EndReason, Failure> {
    let start = Instant::now();
    let (mut slow_ns, mut has_caught_up) = (0, false);
    loop {
        let left = args.duration.map_or(POLL, |duration| duration.saturating_sub(start.elapsed()).min(POLL));
        let stopped = stop.sleep(left);
        tracer.poll(&mut |event| capture.add(event));
        if !std::mem::replace(&mut has_caught_up, true) {
            capture.stream.has_caught_up();
        }
        capture.stream.flush();
        if capture.trace.slow_from_ns() != slow_ns {
            slow_ns = capture.trace.slow_from_ns();
            tracer.set_slow(slow_ns)?;
        }
        match target.process.still_same() {
            Fate::Same => {}
            Fate::Execed => return Ok(EndReason::TargetReplaced),
            Fate::Exited => return Ok(EndReason::TargetExited),
        }
        if stopped {
            return Ok(EndReason::Stopped);
        }
        if capture.stream.out().is_some_and(|out| out.has_failed()) {
            return Ok(EndReason::NotWritten);
        }
        if args.duration.is_some_and(|duration| start.elapsed() >= duration) {
            return Ok(EndReason::Duration);
        }
        if governor.is_due() {
            capture.stream.write_long(monotonic_ns());
            // If the target has just ended, the next turn finds out.
            capture.earlier.again(&target.runtime, &target.memory, &monotonic_ns).ok();
            if let Some(share) = governor.excess(tracer.counts()?.cost_ns(&capture.trap_ns), &target.process) {
                return Ok(EndReason::TooExpensive { share });
            }
        }
    }
}

/// Reads the goroutines and requests that were there before the probes, of which there are no events.
///
/// # Errors
/// When nothing can be read from the target any more; most often it has just ended.
pub(super) fn look(target: &GoProcess, tracer: &mut Tracer, capture: &mut Capture<'_>) -> Result<(), ReadError> {
    let (runtime, memory, start_ns) = (&target.runtime, &target.memory, capture.start_ns);
    if let Stream::Perfetto(recorder) = &mut capture.stream {
        recorder.begin_look()?;
    }
    while let Stream::Perfetto(recorder) = &mut capture.stream
        && recorder.look(start_ns)?
    {
        tracer.poll(&mut |event| capture.add(event));
    }
    capture.earlier.begin_look(runtime, memory)?;
    while capture.earlier.look(runtime, memory, &monotonic_ns)? {
        tracer.poll(&mut |event| capture.add(event));
    }
    Ok(())
}
