//! A trace for ui.perfetto.dev, written while it is taken: a track for each goroutine with its states as slices, one for each
//! request, and an arrow from who ended a wait to who had waited. A wait that was long has its stack as an argument.
//!
//! Memory is bounded by the goroutines that are there at a time ([`MAX_GOROUTINES`]), by the stacks that are known
//! (`interned`) and by one buffer (`record_file`), not by how long the trace is.

mod interned;
mod writer;

use std::collections::{HashMap, HashSet};

use fgspy_export::perfetto::{
    CLEARED, INSTANT, InternedData, NEEDS_INTERNED, SLICE_BEGIN, TracePacket, TrackDescriptor, TrackEvent,
};
use fgspy_goroutines::GoProcess;
use fgspy_goroutines::{Look, Reader, Sight, Status, Wanted};
use fgspy_memory::{Memory, ReadError};
use fgspy_probes::{Event, OTHER, OlderRequest, OneRequest, RUNNABLE, RUNNING, SYSCALL, classes};
use interned::{Argument, Stack, Stacks};
use writer::{GOROUTINES, Writer, track_of_goroutine, track_of_request};

use crate::exit::Failure;
use crate::output::record_file::RecordFile;
use crate::terminal::escape::clean;
use crate::trace::words::identity;

/// Goroutines whose states are followed at a time: as many as the kernel's program follows, and as many again whose end was
/// lost. Of others nothing is written.
const MAX_GOROUTINES: usize = 1 << 18;
/// Functions whose names are kept.
const MAX_FUNCTIONS: usize = 4096;
/// Goroutines that are looked at before events are taken again.
const PART: usize = 4096;
/// A state that lasts as long as this is written before it ends: otherwise it would be missing if fgspy were killed.
const LONG_NS: u64 = 1_000_000_000;
/// Tracks of requests that no probe saw begin: their numbers are those of goroutines, from here on.
const EARLIER: u64 = 1 << 60;

/// A state that has begun.
struct Open {
    since_ns: u64,
    class: u8,
    reason: u8,
    /// The arrow that ends in it.
    arrow: Option<u64>,
    /// Its beginning is written.
    is_written: bool,
    /// Where it was.
    stack: Option<u64>,
}

impl Open {
    fn new(since_ns: u64, class: u8, reason: u8) -> Open {
        Open { since_ns, class, reason, arrow: None, is_written: false, stack: None }
    }
}

/// Writes events as they come.
pub(super) struct Recorder<'a> {
    target: &'a GoProcess,
    writer: Writer,
    stacks: Stacks,
    /// What goroutines do that have a track, by their numbers.
    open: HashMap<u64, Open>,
    /// By g: one may get its number after it was made runnable.
    unnumbered: HashMap<u64, Open>,
    /// What goroutines did when they were first looked at, of which no change of state is known yet.
    first: HashMap<u64, Open>,
    reader: Reader,
    /// Goroutines that are to be looked at.
    left: Vec<u32>,
    named: HashSet<u64>,
    /// Names of functions, by where they begin.
    functions: HashMap<u64, String>,
    arrows: u64,
    dropped: u64,
}

impl<'a> Recorder<'a> {
    /// Writes what every trace begins with.
    pub(super) fn new(target: &'a GoProcess, out: RecordFile) -> Recorder<'a> {
        Recorder {
            target,
            writer: Writer::new(target, out),
            stacks: Stacks::default(),
            open: HashMap::new(),
            unnumbered: HashMap::new(),
            first: HashMap::new(),
            reader: Reader::new(),
            left: Vec::new(),
            named: HashSet::new(),
            functions: HashMap::new(),
            arrows: 0,
            dropped: 0,
        }
    }

    /// The file, and whether it can be written.
    pub(super) fn out(&self) -> &RecordFile {
        self.writer.out()
    }

    /// What was left out because there was too much of it.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Begins to look at all goroutines, for their names and what they do: many will not change that for long. Only what is not
    /// in the events up to [`Recorder::has_caught_up`] holds.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub(super) fn begin_look(&mut self) -> Result<(), ReadError> {
        let (runtime, memory) = (&self.target.runtime, &self.target.memory);
        let len = memory.read_u64(runtime.list.len)?.unwrap_or(0);
        self.reader.refresh(runtime, memory, len)?;
        self.left = self.reader.all().runs().flatten().copied().take(MAX_GOROUTINES).collect();
        Ok(())
    }

    /// Looks at some of them, and says whether any are left. Events are to be taken in between: the ring has room for so much.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub(super) fn look(&mut self, start_ns: u64) -> Result<bool, ReadError> {
        let (runtime, memory) = (&self.target.runtime, &self.target.memory);
        let part = self.left.split_off(self.left.len().saturating_sub(PART));
        let wanted: Vec<Wanted> = part.into_iter().map(|index| Wanted { index, look: Look::G }).collect();
        let classes = classes(&runtime.wait_reasons);
        let mut found = Vec::new();
        self.reader.read(runtime, memory, &wanted, &mut |_, sight| {
            let Sight::Seen(observation) = sight else { return };
            let reason = observation.g.wait_reason;
            let (class, reason) = match observation.status {
                Status::Running | Status::CopyStack => (RUNNING, 0),
                Status::Runnable => (RUNNABLE, 0),
                Status::Syscall => (SYSCALL, 0),
                Status::Waiting => (classes.get(usize::from(reason)).copied().unwrap_or(OTHER), reason),
                Status::Preempted | Status::Leaked => (OTHER, 0),
            };
            found.push((observation.g.goid, observation.g.start_pc, class, reason));
        })?;
        for (goid, start_pc, class, reason) in found {
            self.name(goid, start_pc);
            self.first.insert(goid, Open::new(start_ns, class, reason));
        }
        Ok(!self.left.is_empty())
    }

    /// All events are taken that came before [`Recorder::look`]: who is in none of them does what it did when it was looked at.
    pub(super) fn has_caught_up(&mut self) {
        for (goid, open) in std::mem::take(&mut self.first) {
            self.open.entry(goid).or_insert(open);
        }
        self.reader = Reader::new();
    }

    /// Writes an event.
    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::Transition { .. } => self.transition(event),
            // It comes right before the change of state that ends the wait.
            Event::Blocked { goid, stack, since_ns, class, reason, .. } => {
                let stack = self.stack(stack);
                // It may have begun before the probes were set.
                if self.open.contains_key(goid) || self.open.len() < MAX_GOROUTINES {
                    let open = self.open.entry(*goid).or_insert_with(|| Open::new(*since_ns, *class, *reason));
                    open.stack = Some(stack);
                }
            }
            Event::RequestBegin { time_ns, goid, request, method, path, .. } => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let name = format!("{} {}", text(method), text(path));
                self.writer.begin_request(track_of_request(*request), *time_ns, &name, *goid, Vec::new());
            }
            Event::RequestIds { .. } | Event::RequestEnd { .. } => {}
        }
    }

    /// A request is over.
    pub(super) fn request(&mut self, one: &OneRequest) {
        let arguments = vec![Argument::Route.text(&one.route), Argument::Id.text(&identity(one))];
        self.writer.end(track_of_request(one.number), one.end_ns, arguments);
    }

    /// Writes all that was kept until now.
    pub(super) fn flush(&mut self) {
        self.writer.flush();
    }

    /// Writes the beginning of what has lasted long.
    pub(super) fn write_long(&mut self, now_ns: u64) {
        let long = |open: &Open| !open.is_written && now_ns.saturating_sub(open.since_ns) >= LONG_NS;
        let goids: Vec<u64> = self.open.iter().filter(|(_, open)| long(open)).map(|(&goid, _)| goid).collect();
        for goid in goids {
            self.write_beginning(goid);
        }
    }

    /// Writes what is not over, and gives the file its name. What was still going on has no end.
    pub(super) fn finish<'b>(mut self, earlier: impl Iterator<Item = &'b OlderRequest>) -> Result<(), Failure> {
        let goids: Vec<u64> = self.open.keys().copied().collect();
        for goid in goids {
            self.write_beginning(goid);
        }
        for one in earlier {
            let track = track_of_request(EARLIER | one.goid);
            let name = format!("{} {}", one.method, one.path);
            let mut arguments =
                vec![Argument::Began.text("before the probes were set"), Argument::Route.text(&one.route)];
            if !one.id.is_empty() {
                arguments.push(Argument::Id.text(&one.id));
            }
            self.writer.begin_request(track, one.since_ns, &name, one.goid, arguments);
            if one.ended {
                self.writer.end(track, one.seen_ns, Vec::new());
            }
        }
        self.writer.finish()
    }

    fn transition(&mut self, transition: &Event) {
        let &Event::Transition { time_ns, g, goid, class, reason, start_pc, .. } = transition else { return };
        let mut next = Open::new(time_ns, class, reason);
        if goid == 0 {
            if self.unnumbered.len() >= MAX_GOROUTINES {
                self.unnumbered.clear();
            }
            self.unnumbered.insert(g, next);
            return;
        }
        self.first.remove(&goid);
        if !self.name(goid, start_pc) {
            self.dropped += 1;
            return;
        }
        if let Some(before) = self.unnumbered.remove(&g) {
            self.open.insert(goid, before);
        }
        if transition.was_at_work()
            && let Some(open) = self.open.get_mut(&goid)
        {
            (open.class, open.reason) = (RUNNING, 0);
        }
        self.write_beginning(goid);
        if let Some(before) = self.open.remove(&goid) {
            // Where its beginning was written earlier, its stack was not known yet.
            let stack = before.stack.map(|stack| Argument::Stack.interned(stack));
            self.writer.end(track_of_goroutine(goid), time_ns, stack.into_iter().collect());
        }
        if let Some(waker) = transition.woken_by() {
            self.arrows += 1;
            if self.name(waker, 0) {
                self.wakes(waker, time_ns);
                next.arrow = Some(self.arrows);
            }
        }
        if transition.is_end_of_goroutine() {
            self.named.remove(&goid);
        } else {
            self.open.insert(goid, next);
        }
    }

    /// Gives a goroutine its track, if it has none. `start_pc` is where the function begins that it was started with, 0 if that is
    /// not known. `false` if there are too many.
    fn name(&mut self, goid: u64, start_pc: u64) -> bool {
        if self.named.contains(&goid) {
            return true;
        }
        if self.named.len() >= MAX_GOROUTINES {
            return false;
        }
        self.named.insert(goid);
        let function = self.function(start_pc);
        self.writer.track(TrackDescriptor {
            uuid: track_of_goroutine(goid),
            parent_uuid: Some(GOROUTINES),
            name: clean(format!("goroutine {goid} {function}").trim_end()),
            sibling_order_rank: Some(i32::try_from(goid).unwrap_or(i32::MAX)),
            ..TrackDescriptor::default()
        });
        true
    }

    /// The name of the function that goroutines are started with there. To find it takes reads of the executable, and many
    /// goroutines have the same.
    fn function(&mut self, start_pc: u64) -> String {
        if self.functions.len() >= MAX_FUNCTIONS {
            self.functions.clear();
        }
        let runtime = &self.target.runtime;
        let name = self.functions.entry(start_pc);
        name.or_insert_with(|| runtime.started_with(start_pc).unwrap_or_default()).clone()
    }

    /// Writes the beginning of the state that a goroutine is in, if that was not done.
    fn write_beginning(&mut self, goid: u64) {
        let Some(open) = self.open.get_mut(&goid).filter(|open| !open.is_written) else { return };
        open.is_written = true;
        let reason = (open.reason != 0).then(|| Argument::Reason.interned(interned::reason(open.reason)));
        let stack = open.stack.take().map(|stack| Argument::Stack.interned(stack));
        let event = TrackEvent {
            kind: SLICE_BEGIN,
            track_uuid: track_of_goroutine(goid),
            name_iid: Some(interned::state(open.class)),
            debug_annotations: reason.into_iter().chain(stack).collect(),
            terminating_flow_ids: open.arrow.into_iter().collect(),
            ..TrackEvent::default()
        };
        let since_ns = open.since_ns;
        self.writer.at(since_ns, event);
    }

    /// An arrow, the last one, begins.
    fn wakes(&mut self, waker: u64, time_ns: u64) {
        let event = TrackEvent {
            kind: INSTANT,
            track_uuid: track_of_goroutine(waker),
            name_iid: Some(interned::WAKES),
            flow_ids: vec![self.arrows],
            ..TrackEvent::default()
        };
        self.writer.at(time_ns, event);
    }

    /// The number of a stack, which is written if it is new.
    fn stack(&mut self, pcs: &[u64]) -> u64 {
        if self.stacks.are_full() {
            // Numbers are given anew, and those that wait to be written are none any more.
            self.stacks.forget();
            self.open.values_mut().for_each(|open| open.stack = None);
            let interned_data = Some(interned::always(self.target));
            self.writer.packet(TracePacket { sequence_flags: CLEARED, interned_data, ..TracePacket::default() });
        }
        match self.stacks.number(self.target, pcs) {
            Stack::Known(number) => number,
            Stack::New(text) => {
                let number = text.iid;
                let interned = InternedData { debug_annotation_string_values: vec![text], ..InternedData::default() };
                self.writer.packet(TracePacket {
                    sequence_flags: NEEDS_INTERNED,
                    interned_data: Some(interned),
                    ..TracePacket::default()
                });
                number
            }
        }
    }
}
