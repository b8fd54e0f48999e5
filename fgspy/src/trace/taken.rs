//! What was taken down while tracing.

use fgspy_gobin::probes;
use fgspy_kernel::trace::{Counts, Ended as Gone, Event, Goroutine, SiteKind, Traps};
use fgspy_trace::{OneRequest, Trace, trap_ns};

use super::args::TraceFormat;

/// Why a trace ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ended {
    /// The time was over.
    Duration,
    /// Somebody stopped it.
    Stopped,
    /// The target exited.
    TargetExited,
    /// The target replaced its program.
    TargetReplaced,
    /// The probes took this part of a core from the target, which is more than allowed.
    TooDear {
        /// In parts of one core.
        share: f64,
    },
}

/// Everything there is to write.
pub(super) struct Taken {
    pub(super) trace: Trace,
    /// Requests that are over, where the format wants each of them.
    pub(super) requests: Vec<OneRequest>,
    /// Changes of state, where the format wants each of them.
    pub(super) transitions: Vec<Event>,
    /// What was left out of both because there was too much of it.
    pub(super) dropped: u64,
    pub(super) traps: Traps,
    /// What a trap takes at each kind of site.
    pub(super) trap_ns: [f64; SiteKind::ALL.len()],
    pub(super) counts: Counts,
    pub(super) goroutines: Vec<Goroutine>,
    pub(super) gone: Vec<Gone>,
    /// Of `CLOCK_MONOTONIC`, as all times here.
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    pub(super) ended: Ended,
    wants_requests: bool,
    wants_transitions: bool,
    most: usize,
}

impl Taken {
    /// Nothing yet.
    pub(super) fn new(
        trace: Trace,
        traps: Traps,
        sites: &[probes::Site],
        start_ns: u64,
        format: TraceFormat,
        most: usize,
    ) -> Taken {
        Taken {
            trace,
            requests: Vec::new(),
            transitions: Vec::new(),
            dropped: 0,
            traps,
            trap_ns: trap_ns(sites, traps),
            counts: Counts::default(),
            goroutines: Vec::new(),
            gone: Vec::new(),
            start_ns,
            end_ns: start_ns,
            ended: Ended::Stopped,
            wants_requests: matches!(format, TraceFormat::Json | TraceFormat::Perfetto),
            wants_transitions: format == TraceFormat::Perfetto,
            most,
        }
    }

    /// Takes an event down.
    pub(super) fn take(&mut self, event: Event) {
        if self.wants_transitions && matches!(event, Event::Transition { .. }) {
            keep(&mut self.transitions, event.clone(), self.most, &mut self.dropped);
        }
        let over = self.trace.take(event);
        if let Some(one) = over.filter(|_| self.wants_requests) {
            keep(&mut self.requests, one, self.most, &mut self.dropped);
        }
    }

    /// How long it took.
    pub(super) fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }

    /// What a hit took on average, in nanoseconds.
    pub(super) fn hit_ns(&self) -> f64 {
        self.counts.cost_ns(&self.trap_ns) / self.counts.all_hits().max(1) as f64
    }

    /// What the probes took from the target, in parts of one core.
    pub(super) fn overhead(&self) -> f64 {
        self.counts.cost_ns(&self.trap_ns) / self.duration_ns().max(1) as f64
    }
}

fn keep<T>(list: &mut Vec<T>, one: T, most: usize, dropped: &mut u64) {
    if list.len() < most {
        list.push(one);
    } else {
        *dropped += 1;
    }
}
