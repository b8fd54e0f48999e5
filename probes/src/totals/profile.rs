//! A trace as a profile: long waits with their stacks, all other time by state.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fgspy_goroutines::{Runtime, symbolize};
use fgspy_profile::{
    Accounting, Builder, Class, LabelSetId, Profile, SampleKey, Serving, StackId, State, StringId, Target, units,
};

use crate::{CLASSES, Ended, Goroutine, Place, Times, Trace, class};

/// The remark in the profile that says how it was made.
const TRACED: &str = "traced exactly, by probes; only goroutines that changed their state are in it";
/// The frame for a state that was not over.
const OPEN: &str = "[not over when the trace ended]";

/// Waits at one place, with their stack in the profile.
#[derive(Clone, Debug)]
pub struct PlacedWaits {
    /// Where, and how long.
    pub waits: Place,
    /// Their stack in the profile.
    pub stack: StackId,
}

/// A trace that is over.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    /// What the events said.
    pub trace: &'a Trace,
    /// Goroutines that were there at the end, as the kernel has them.
    pub goroutines: &'a [Goroutine],
    /// Goroutines that had ended.
    pub ended: &'a [Ended],
    /// When it began, in nanoseconds of `CLOCK_MONOTONIC`.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
}

impl Finished<'_> {
    /// How long it took, in nanoseconds.
    pub fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }

    /// The profile, and the waits in it. Waits shorter than `threshold` have no stack.
    pub fn profile(&self, runtime: &Runtime, target: Target, threshold: Duration) -> (Profile, Vec<PlacedWaits>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let start_unix_ns = (now.as_nanos() as u64).saturating_sub(self.duration_ns());
        let mut builder = Builder::new(target, start_unix_ns);
        let (mut placed, mut known) = (Vec::new(), [0u64; CLASSES]);
        for waits in self.trace.places() {
            if let Some(known) = known.get_mut(usize::from(waits.class)) {
                *known = known.saturating_add(waits.total_ns);
            }
            let stack = stack(&mut builder, runtime, &waits.stack);
            let labels = match &waits.route {
                Some(route) => builder.labels(&[("http.route", route)]),
                None => builder.labels(&[]),
            };
            let reason = builder.string(runtime.wait_reason(waits.reason));
            let key = key(stack, State::Waiting, Some(reason), labels);
            builder.add(key, waits.count, waits.total_ns);
            placed.push(PlacedWaits { waits, stack });
        }
        let short = format!("[waits shorter than {}]", units::to_tick(threshold.as_nanos() as u64, 0));
        for ((number, all), known) in (0u8..).zip(self.completed()).zip(known) {
            let rest = all.saturating_sub(known);
            if rest > 0 {
                add_rest(&mut builder, class(number), rest, &short);
            }
        }
        for goroutine in self.goroutines {
            add_open(&mut builder, runtime, goroutine, self.end_ns);
        }
        let accounting = Accounting { remarks: vec![TRACED.to_owned()], ..Accounting::default() };
        (builder.finish(self.duration_ns(), accounting), placed)
    }

    /// Time by state of all goroutines that were seen, until the end of the trace.
    pub fn totals(&self) -> Times {
        let mut sums = self.completed();
        for goroutine in self.goroutines {
            if let Some(sum) = sums.get_mut(usize::from(goroutine.class)) {
                *sum = sum.saturating_add(self.end_ns.saturating_sub(goroutine.since_ns));
            }
        }
        sums
    }

    /// The same, without the states in which goroutines still were at the end.
    fn completed(&self) -> Times {
        let mut sums = [0u64; CLASSES];
        let ended = self.ended.iter().map(|ended| ended.total_ns);
        for total in ended.chain(self.goroutines.iter().map(|goroutine| goroutine.total_ns)) {
            for (sum, time) in sums.iter_mut().zip(total) {
                *sum = sum.saturating_add(time);
            }
        }
        sums
    }
}

fn key(stack: StackId, state: State, wait_reason: Option<StringId>, labels: LabelSetId) -> SampleKey {
    SampleKey { stack, goid: 0, state, wait_reason, labels, creator: None, serving: Serving::Unknown }
}

/// The state in which a goroutine still was at the end, below the function that it was started with: a stack is read when a wait
/// ends.
fn add_open(builder: &mut Builder, runtime: &Runtime, goroutine: &Goroutine, end_ns: u64) {
    let time = end_ns.saturating_sub(goroutine.since_ns);
    if time == 0 {
        return;
    }
    let (state, reason) = state_of(class(goroutine.class));
    let mut locations = vec![builder.synthetic(OPEN)];
    if let Some(name) = runtime.function_at(goroutine.start_pc) {
        let function = builder.function(&name, "", 0);
        locations.push(builder.location(goroutine.start_pc, &[(function, 0)]));
    }
    let stack = builder.stack(&locations);
    let reason = reason.map(|reason| builder.string(reason));
    let labels = builder.labels(&[]);
    builder.add(SampleKey { goid: goroutine.goid, ..key(stack, state, reason, labels) }, 1, time);
}

/// The state of a class, and for a wait a typical wait reason.
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

fn stack(builder: &mut Builder, runtime: &Runtime, pcs: &[u64]) -> StackId {
    let mut locations = Vec::new();
    let mut callee: Option<String> = None;
    for frame in symbolize::frames(runtime, pcs, false) {
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
