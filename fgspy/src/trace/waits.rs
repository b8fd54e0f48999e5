//! What goroutines did, as a profile: each long wait where it was, the rest by what it was.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fgspy_goroutines::symbolize;
use fgspy_probes::{CLASSES, Goroutine, Place, Times, class};
use fgspy_profile::{Accounting, Builder, Class, Profile, SampleKey, Serving, StackId, State};
use fgspy_sampler::GoProcess;

use super::capture::Taken;
use crate::terminal::numbers;

/// What a profile says of how it was made.
const TRACED: &str = "traced exactly, by probes; only goroutines that changed their state are in it";
/// The place of what was not over.
const OPEN: &str = "[not over when the trace ended]";

/// Places with their stacks in the profile, in the same order.
pub(super) type Placed = Vec<(Place, StackId)>;

/// The profile, and the places in it.
pub(super) fn profile(target: &GoProcess, taken: &Taken<'_>, threshold: Duration) -> (Profile, Placed) {
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
    let short = format!("[waits shorter than {}]", numbers::rounded(threshold.as_nanos() as u64, 0));
    for ((number, all), known) in (0u8..).zip(over(taken)).zip(known) {
        let rest = all.saturating_sub(known);
        if rest > 0 {
            add_rest(&mut builder, class(number), rest, &short);
        }
    }
    for goroutine in &taken.goroutines {
        add_open(&mut builder, target, goroutine, taken.end_ns);
    }
    let accounting = Accounting { remarks: vec![TRACED.to_owned()], ..Accounting::default() };
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

/// What a goroutine was still doing at the end, under the function that it was started with: its stack is read when a wait is
/// over.
fn add_open(builder: &mut Builder, target: &GoProcess, goroutine: &Goroutine, end_ns: u64) {
    let time = end_ns.saturating_sub(goroutine.since_ns);
    if time == 0 {
        return;
    }
    let (state, reason) = state_of(class(goroutine.class));
    let mut locations = vec![builder.synthetic(OPEN)];
    if let Some(name) = target.runtime.function_at(goroutine.start_pc) {
        let function = builder.function(&name, "", 0);
        locations.push(builder.location(goroutine.start_pc, &[(function, 0)]));
    }
    let stack = builder.stack(&locations);
    let reason = reason.map(|reason| builder.string(reason));
    let labels = builder.labels(&[]);
    builder.add(SampleKey { goid: goroutine.goid, ..key(stack, state, reason, labels) }, 1, time);
}

/// A state, and for one that waits a reason of its class.
fn state_of(class: Class) -> (State, Option<&'static str>) {
    match class {
        Class::Running | Class::RunningOffCpu => (State::Running, None),
        Class::Runnable => (State::Runnable, None),
        Class::Syscall => (State::Syscall, None),
        Class::Mutex => (State::Waiting, Some("sync.Mutex.Lock")),
        Class::Sync => (State::Waiting, Some("sync.WaitGroup.Wait")),
        Class::Network => (State::Waiting, Some("IO wait")),
        Class::Chan => (State::Waiting, Some("chan receive")),
        Class::Select => (State::Waiting, Some("select")),
        Class::Sleep => (State::Waiting, Some("sleep")),
        Class::Gc => (State::Waiting, Some("GC worker (idle)")),
        Class::Other => (State::Waiting, Some("other")),
    }
}

/// Time whose place is not known.
fn add_rest(builder: &mut Builder, class: Class, time_ns: u64, short: &str) {
    let (state, reason) = state_of(class);
    let name = match state {
        State::Running | State::RunningOffCpu => "[running: not traced where]",
        State::Runnable => "[runnable]",
        State::Syscall => "[syscall: not traced where]",
        State::Waiting => short,
    };
    let location = builder.synthetic(name);
    let stack = builder.stack(&[location]);
    let reason = reason.map(|reason| builder.string(reason));
    let labels = builder.labels(&[]);
    builder.add(key(stack, state, reason, labels), 1, time_ns);
}

/// What all goroutines did that were seen, until the end.
pub(super) fn totals(taken: &Taken<'_>) -> Times {
    let mut sums = over(taken);
    for goroutine in &taken.goroutines {
        if let Some(sum) = sums.get_mut(usize::from(goroutine.class)) {
            *sum = sum.saturating_add(taken.end_ns.saturating_sub(goroutine.since_ns));
        }
    }
    sums
}

/// The same, without what they were doing at the end.
fn over(taken: &Taken<'_>) -> Times {
    let mut sums = [0u64; CLASSES];
    let gone = taken.gone.iter().map(|gone| gone.total_ns);
    for total in gone.chain(taken.goroutines.iter().map(|goroutine| goroutine.total_ns)) {
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
