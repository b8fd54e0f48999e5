//! While the probes are set.

use std::time::{Duration, Instant};

use fgspy_memory::{Fate, ReadError};
use fgspy_perf::monotonic_ns;
use fgspy_probes::Tracer;
use fgspy_sampler::{GoProcess, Stop};

use super::capture::{Ended, Taken};
use super::overhead::Governor;
use super::stream::Stream;
use crate::args::trace::TraceArgs;

/// How often the kernel's ring is emptied.
const POLL: Duration = Duration::from_millis(25);

/// Takes events until the time is over, somebody stops it, the target ends, or the probes cost too much.
pub(super) fn follow(
    args: &TraceArgs,
    stop: &Stop,
    target: &GoProcess,
    tracer: &mut Tracer,
    governor: &mut Governor,
    taken: &mut Taken<'_>,
) -> anyhow::Result<Ended> {
    let start = Instant::now();
    let (mut slow_ns, mut has_caught_up) = (0, false);
    loop {
        let left = args.duration.map_or(POLL, |duration| duration.saturating_sub(start.elapsed()).min(POLL));
        let stopped = stop.sleep(left);
        tracer.poll(&mut |event| taken.take(event));
        if !std::mem::replace(&mut has_caught_up, true) {
            taken.stream.has_caught_up();
        }
        taken.stream.flush();
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
        if taken.stream.out().is_some_and(|out| out.has_failed()) {
            return Ok(Ended::NotWritten);
        }
        if args.duration.is_some_and(|duration| start.elapsed() >= duration) {
            return Ok(Ended::Duration);
        }
        if governor.is_due() {
            taken.stream.write_long(monotonic_ns());
            // If the target has just ended, the next turn finds out.
            taken.earlier.again(&target.runtime, &target.memory, &monotonic_ns).ok();
            if let Some(share) = governor.excess(tracer.counts()?.cost_ns(&taken.trap_ns), &target.process) {
                return Ok(Ended::TooDear { share });
            }
        }
    }
}

/// Looks at what is there already, of which no event tells.
///
/// # Errors
/// When nothing can be read from the target any more; most often it has just ended.
pub(super) fn look(target: &GoProcess, tracer: &mut Tracer, taken: &mut Taken<'_>) -> Result<(), ReadError> {
    let (runtime, memory, start_ns) = (&target.runtime, &target.memory, taken.start_ns);
    if let Stream::Perfetto(recorder) = &mut taken.stream {
        recorder.begin_look()?;
    }
    while let Stream::Perfetto(recorder) = &mut taken.stream
        && recorder.look(start_ns)?
    {
        tracer.poll(&mut |event| taken.take(event));
    }
    taken.earlier.begin_look(runtime, memory)?;
    while taken.earlier.look(runtime, memory, &monotonic_ns)? {
        tracer.poll(&mut |event| taken.take(event));
    }
    Ok(())
}
