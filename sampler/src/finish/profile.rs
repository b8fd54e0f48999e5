//! From raw observations to a profile: every program counter is looked up once, at the end.

use std::collections::HashMap;

use fgspy_gobin::SourceFrame;
use fgspy_goroutines::{Runtime, symbolize};
use fgspy_memory::Holder;
use fgspy_perf::KernelSymbols;
use fgspy_profile::{
    Builder, LocationId, NewRequest, Profile, RequestId, SampleKey, Serving, Span, StackId, State, Target,
};

use crate::Foreign;
use crate::estimate::{Cell, RawLabelsId, RawStack, RawStackId, Reach, Samples};
use crate::finish::settle;
use crate::record::Recording;
use crate::requests::{RawSpan, Seen, protocol_of};

/// What program counters are looked up in.
pub struct Sources<'a> {
    /// The Go program.
    pub runtime: &'a Runtime,
    /// What is mapped in the target: names code that is not Go's.
    pub foreign: &'a Foreign,
    /// Whether the kernel let us sample threads; without it, running goroutines have no stack.
    pub on_cpu: bool,
}

/// Frames of time whose stack is not known.
const NO_PERMISSION: &str = "[running: no perf_event permission]";
const NO_SAMPLE: &str = "[running: place not seen]";
const OFF_CPU: &str = "[running, off cpu: where is not known]";
const STOPPED: &str = "[running when it was stopped by a signal]";
const DEBUGGED: &str = "[running when it was stopped by a debugger]";
const FROZEN: &str = "[running when it was frozen by its cgroup]";
const UNREAD: &str = "[its stack was not read]";
const UNREADABLE: &str = "[its stack cannot be read]";
/// How the names of the kernel's interrupt entries begin (`arch/x86/include/asm/idtentry.h`, `arch/arm64/kernel/entry.S`).
const INTERRUPT_ENTRIES: &[&str] =
    &["asm_sysvec_", "asm_common_interrupt", "asm_exc_nmi", "el0t_64_irq", "el0t_64_fiq"];
/// Root of a stack whose outermost frames are not known.
const CUT: &str = "[outer frames cut]";
/// Stands for the outer frames of a stack whose goroutine went on before they were read.
const BEGUN: &str = "[outer frames not read]";

/// Makes a profile of a recording.
pub fn profile(recording: Recording, target: Target, sources: &Sources<'_>) -> Profile {
    let Recording { mut samples, mut accounting, start_unix_ns, duration, held, .. } = recording;
    let settled = settle(&mut samples);
    accounting.spread_ns = settled.spread_ns;
    accounting.unplaced_ns = settled.lost_ns;
    accounting.remarks.extend(placed_by_likeness(&samples, settled.likely_ns));
    let all = std::mem::take(&mut samples.all);
    let mut lookup = Lookup {
        sources,
        held: held.map(|held| held.by),
        samples: &samples,
        builder: Builder::new(target, start_unix_ns),
        kernel: KernelSymbols::new(),
        user: HashMap::new(),
        stacks: HashMap::new(),
        requests: HashMap::new(),
    };
    // There are far more goroutines than cells.
    let mut keys: Vec<Option<SampleKey>> = vec![None; samples.cells.len()];
    for (goid, id, weight) in all {
        let (Some(key), Some(cell)) = (keys.get_mut(id.index()), samples.at(id)) else { continue };
        let key = *key.get_or_insert_with(|| lookup.key(cell));
        lookup.builder.add_weight(SampleKey { goid, ..key }, weight);
    }
    // What has no sample has no time, and so no error.
    for (key, time_ns) in keys.iter().zip(&samples.replicates) {
        key.iter().for_each(|&key| lookup.builder.add_part(key, time_ns));
    }
    lookup.builder.add_replicates(&samples.replicate_ns);
    lookup.builder.finish(duration.as_nanos() as u64, accounting)
}

/// A remark for the user, if more than a thousandth of all time was placed by likeness.
fn placed_by_likeness(samples: &Samples, likely_ns: u64) -> Option<String> {
    let all: u64 = samples.all.iter().map(|(.., weight)| weight.time_ns).sum();
    let share = likely_ns as f64 / all.max(1) as f64;
    (share >= 0.001).then(|| {
        format!(
            "{:.1}% of the time is of goroutines that were never seen with a stack in that state, each at no more than three \
             ticks: it is placed where other goroutines were that were started with the same function",
            100.0 * share
        )
    })
}

struct Lookup<'a> {
    sources: &'a Sources<'a>,
    /// What kept the target from running all the time.
    held: Option<Holder>,
    samples: &'a Samples,
    builder: Builder,
    kernel: KernelSymbols,
    /// Location of each looked-up address; `None` for frames that are not shown.
    user: HashMap<u64, Option<LocationId>>,
    stacks: HashMap<(RawStackId, u64), StackId>,
    /// Numbers of requests in the profile, by those in the recording.
    requests: HashMap<RequestId, RequestId>,
}

impl<'a> Lookup<'a> {
    /// The key of the samples in a cell, but for the goroutine.
    fn key(&mut self, cell: Cell) -> SampleKey {
        let wait_reason = cell.wait_reason.map(|reason| self.builder.string(self.sources.runtime.wait_reason(reason)));
        let creator = (cell.go_pc != 0).then(|| self.user(cell.go_pc.wrapping_sub(1), None)).flatten();
        let stack = match cell.stack {
            Some(stack) => self.stack(stack, cell.start_pc),
            None => self.unknown_stack(self.unknown_place(cell.state), cell.start_pc),
        };
        let (labels, serving) = (self.labels(cell.labels), self.serving(cell.serving));
        SampleKey { stack, goid: 0, state: cell.state, wait_reason, labels, creator, serving }
    }

    /// What the profile says of a request. It has only those that are in some sample.
    fn serving(&mut self, serving: Serving) -> Serving {
        let Serving::Request(id) = serving else { return serving };
        if let Some(&known) = self.requests.get(&id) {
            return Serving::Request(known);
        }
        let Some(seen) = self.samples.requests.get(id.index()) else { return Serving::Unknown };
        let Seen { request, goid, first_ns, last_ns, spans, .. } = seen;
        let sighting = self.samples.sightings.get(id.index()).copied().flatten();
        let trace = request.trace.map_or((String::new(), String::new()), |trace| {
            (trace.trace_id.to_string(), trace.span_id.map_or(String::new(), |id| id.to_string()))
        });
        let spans = spans.iter().map(|span| self.span(span)).collect();
        let new = self.builder.request(NewRequest {
            protocol: protocol_of(request.protocol),
            method: request.method.as_deref().unwrap_or(""),
            path: request.path.as_deref().unwrap_or(""),
            pattern: request.route.as_deref().unwrap_or(""),
            trace_id: &trace.0,
            span_id: &trace.1,
            request_id: request.request_id.as_deref().unwrap_or(""),
            goid: *goid,
            first_ns: *first_ns,
            last_ns: *last_ns,
            sighting,
            spans,
        });
        self.requests.insert(id, new);
        Serving::Request(new)
    }

    fn span(&mut self, span: &RawSpan) -> Span {
        let RawSpan { from_ns, to_ns, goid, state, wait_reason } = *span;
        let wait_reason = wait_reason.map(|reason| self.builder.string(self.sources.runtime.wait_reason(reason)));
        Span { from_ns, to_ns, goid, state, wait_reason }
    }

    /// What is shown for a place that is not known.
    fn unknown_place(&self, state: State) -> &'static str {
        if let (State::Running | State::RunningOffCpu, Some(holder)) = (state, &self.held) {
            return match holder {
                Holder::Signal => STOPPED,
                Holder::Debugger { .. } => DEBUGGED,
                Holder::Cgroup { .. } => FROZEN,
            };
        }
        match state {
            State::Running if !self.sources.on_cpu => NO_PERMISSION,
            State::Running => NO_SAMPLE,
            State::RunningOffCpu => OFF_CPU,
            State::Runnable | State::Syscall | State::Waiting => UNREAD,
        }
    }

    fn labels(&mut self, id: RawLabelsId) -> fgspy_profile::LabelSetId {
        let labels = self.samples.label_set(id).map_or(&[][..], Vec::as_slice);
        let labels: Vec<(&str, &str)> = labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        self.builder.labels(&labels)
    }

    fn stack(&mut self, id: RawStackId, start_pc: u64) -> StackId {
        if let Some(&stack) = self.stacks.get(&(id, start_pc)) {
            return stack;
        }
        let locations = self.samples.stack(id).map_or(Vec::new(), |raw| self.locations(raw, start_pc));
        let stack = self.builder.stack(&locations);
        self.stacks.insert((id, start_pc), stack);
        stack
    }

    fn locations(&mut self, raw: &RawStack, start_pc: u64) -> Vec<LocationId> {
        let mut locations: Vec<LocationId> = match raw.kernel.last() {
            Some(&entry) if !self.is_interrupt(entry) => raw.kernel.iter().map(|&pc| self.kernel(pc)).collect(),
            _ => Vec::new(),
        };
        let runtime = self.sources.runtime;
        let addresses: Vec<u64> = symbolize::lookup_addresses(runtime, &raw.user, raw.exact_leaf).collect();
        let mut callee = None;
        for &address in &addresses {
            locations.extend(self.user(address, callee));
            callee = Some(address);
        }
        let missing = match raw.reach {
            Reach::Whole | Reach::Left => {
                let has_not_begun = addresses.first().filter(|_| locations.is_empty());
                locations.extend(has_not_begun.map(|&entry| self.wrapper(entry)));
                return locations;
            }
            Reach::Cut => CUT,
            Reach::Begun => BEGUN,
            Reach::Unreadable => UNREADABLE,
        };
        // What is known all the same is where the goroutine began.
        locations.push(self.builder.synthetic(missing));
        locations.extend(self.start(start_pc));
        locations
    }

    /// Where a goroutine began: no `go` statement did that with one that a thread of C's has become.
    fn start(&mut self, start_pc: u64) -> Option<LocationId> {
        if start_pc == 0 { None } else { self.user(start_pc, None) }
    }

    /// The stack of a goroutine of which nothing is known but where it started.
    fn unknown_stack(&mut self, name: &str, start_pc: u64) -> StackId {
        let mut locations = vec![self.builder.synthetic(name)];
        locations.extend(self.start(start_pc));
        self.builder.stack(&locations)
    }

    /// Whether the kernel was entered at `pc` by an interrupt. What it does then is not the program's doing: the time is
    /// that of the interrupted function. (The clock that takes samples is such an interrupt.)
    fn is_interrupt(&self, pc: u64) -> bool {
        let name = self.kernel.name(pc).unwrap_or("");
        INTERRUPT_ENTRIES.iter().any(|entry| name.starts_with(entry))
    }

    fn kernel(&mut self, pc: u64) -> LocationId {
        let name = self.kernel.name(pc).map_or("[kernel]".to_owned(), |name| format!("{name} [kernel]"));
        let function = self.builder.function(&name, "", 0);
        self.builder.location(pc, &[(function, 0)])
    }

    /// The location of the wrapper at `address`, with which a goroutine is to begin: it is all that there is of its stack. Go's own
    /// profiles do not show it, and have such time in no function at all.
    fn wrapper(&mut self, address: u64) -> LocationId {
        let lines = self.lines(address);
        self.location(address, lines.iter())
    }

    /// The location of the code at `address`, called (or inlined) by the code at `callee`; `None` when it is not shown.
    fn user(&mut self, address: u64, callee: Option<u64>) -> Option<LocationId> {
        if let Some(&location) = self.user.get(&address) {
            return location;
        }
        let lines = self.lines(address);
        let location = if lines.is_empty() {
            let function = self.builder.function(&self.sources.foreign.name(address), "", 0);
            Some(self.builder.location(address, &[(function, 0)]))
        } else {
            let mut inner = callee.and_then(|callee| self.sources.runtime.function_at(callee));
            let mut shown = Vec::new();
            for line in &lines {
                if symbolize::is_shown(line, inner.as_deref()) {
                    shown.push(line);
                }
                inner = Some(line.function.to_string());
            }
            (!shown.is_empty()).then(|| self.location(address, shown.into_iter()))
        };
        self.user.insert(address, location);
        location
    }

    /// The source lines of the code at `address`, the innermost first; none if it is not Go's.
    fn lines(&self, address: u64) -> Vec<SourceFrame<'a>> {
        let runtime = self.sources.runtime;
        let mut lines = Vec::new();
        runtime.binary.source_frames(address.wrapping_sub(runtime.bias), &mut lines);
        lines
    }

    /// The location of the code at `address`, shown as these source lines.
    fn location<'b>(&mut self, address: u64, lines: impl Iterator<Item = &'b SourceFrame<'a>>) -> LocationId
    where
        'a: 'b,
    {
        let mut shown = Vec::new();
        for line in lines {
            shown.push((self.builder.function(&line.function, &line.file, line.start_line), line.line));
        }
        self.builder.location(address, &shown)
    }
}
