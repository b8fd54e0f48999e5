//! What goroutines did, as a profile: each long wait where it was, the rest by what it was.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fgspy_goroutines::symbolize;
use fgspy_kernel::trace::{CLASSES, Times};
use fgspy_profile::{Accounting, Builder, Class, Profile, SampleKey, Serving, StackId, State};
use fgspy_sampler::GoProcess;
use fgspy_trace::{Place, class};

use super::taken::Taken;
use crate::requests::words;

/// Places with their stacks in the profile, in the same order.
pub(super) type Placed = Vec<(Place, StackId)>;

/// The profile, and the places in it.
pub(super) fn profile(target: &GoProcess, taken: &Taken, threshold: Duration) -> (Profile, Placed) {
    let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let start_ns = (start.as_nanos() as u64).saturating_sub(taken.duration_ns());
    let mut builder = Builder::new(target.describe(), start_ns);
    let (mut placed, mut known) = (Vec::new(), [0u64; CLASSES]);
    for place in taken.trace.places() {
        if let Some(known) = known.get_mut(usize::from(place.class)) {
            *known = known.saturating_add(place.total_ns);
        }
        let stack = stack(&mut builder, target, &place.stack);
        let labels = match &place.route {
            Some(route) => builder.labels(&[("http.route", route)]),
            None => builder.labels(&[]),
        };
        let reason = builder.string(target.runtime.wait_reason(place.reason));
        let key = key(stack, State::Waiting, Some(reason), labels);
        builder.add(key, place.count, place.total_ns);
        placed.push((place, stack));
    }
    let short = format!("[waits shorter than {}]", words::rounded(threshold.as_nanos() as u64, 0));
    for ((number, all), known) in (0u8..).zip(totals(taken)).zip(known) {
        let rest = all.saturating_sub(known);
        if rest > 0 {
            add_rest(&mut builder, class(number), rest, &short);
        }
    }
    let hits = taken.counts.all_hits();
    let accounting = Accounting { accepted: hits, remarks: vec![super::report::cost(taken)], ..Accounting::default() };
    (builder.finish(taken.duration_ns(), accounting), placed)
}

fn key(
    stack: StackId,
    state: State,
    wait_reason: Option<fgspy_profile::StringId>,
    labels: fgspy_profile::LabelSetId,
) -> SampleKey {
    SampleKey { stack, goid: 0, state, wait_reason, labels, creator: None, serving: Serving::Unknown }
}

/// Time whose place is not known.
fn add_rest(builder: &mut Builder, class: Class, time_ns: u64, short: &str) {
    let (state, reason, name) = match class {
        Class::Running | Class::RunningOffCpu => (State::Running, None, "[running: not traced where]"),
        Class::Runnable => (State::Runnable, None, "[runnable]"),
        Class::Syscall => (State::Syscall, None, "[syscall: not traced where]"),
        Class::Mutex => (State::Waiting, Some("sync.Mutex.Lock"), short),
        Class::Sync => (State::Waiting, Some("sync.WaitGroup.Wait"), short),
        Class::Network => (State::Waiting, Some("IO wait"), short),
        Class::Chan => (State::Waiting, Some("chan receive"), short),
        Class::Select => (State::Waiting, Some("select"), short),
        Class::Sleep => (State::Waiting, Some("sleep"), short),
        Class::Gc => (State::Waiting, Some("GC worker (idle)"), short),
        Class::Other => (State::Waiting, Some("other"), short),
    };
    let location = builder.synthetic(name);
    let stack = builder.stack(&[location]);
    let reason = reason.map(|reason| builder.string(reason));
    let labels = builder.labels(&[]);
    builder.add(key(stack, state, reason, labels), 1, time_ns);
}

/// What all goroutines did that were seen, until the end.
pub(super) fn totals(taken: &Taken) -> Times {
    let mut sums = [0u64; CLASSES];
    let gone = taken.gone.iter().map(|gone| gone.total_ns);
    let there = taken.goroutines.iter().map(|goroutine| {
        let mut total = goroutine.total_ns;
        if let Some(open) = total.get_mut(usize::from(goroutine.class)) {
            *open += taken.end_ns.saturating_sub(goroutine.since_ns);
        }
        total
    });
    for total in gone.chain(there) {
        for (sum, time) in sums.iter_mut().zip(total) {
            *sum = sum.saturating_add(time);
        }
    }
    sums
}

fn stack(builder: &mut Builder, target: &GoProcess, pcs: &[u64]) -> StackId {
    let mut locations = Vec::new();
    let mut callee: Option<String> = None;
    for frame in symbolize::frames(&target.runtime, pcs, false) {
        let mut lines = Vec::new();
        for line in &frame.lines {
            if symbolize::is_shown(line, callee.as_deref()) {
                lines.push((builder.function(&line.function, &line.file, line.start_line), line.line));
            }
            callee = Some(line.function.to_string());
        }
        if !lines.is_empty() {
            locations.push(builder.location(frame.address, &lines));
        }
    }
    builder.stack(&locations)
}
