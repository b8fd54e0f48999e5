//! Everything that is known of a trace while it goes on and at its end.

use std::time::Duration;

use fgspy_memory::Allowance;
use fgspy_probes::sites;
use fgspy_probes::{Counts, Ended as EndedGoroutine, Event, Goroutine, SiteKind, TrapCost};
use fgspy_probes::{Finished, Limits, OlderRequests, Trace, trap_ns};

use super::stream::Stream;

/// Why a trace ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum EndReason {
    /// The time was over.
    Duration,
    /// Somebody stopped it.
    Stopped,
    /// The target exited.
    TargetExited,
    /// The target replaced its program.
    TargetReplaced,
    /// The probes took this part of a core from the target, which is more than allowed.
    TooExpensive {
        /// In parts of one core.
        share: f64,
    },
    /// What was recorded could not be written.
    NotWritten,
}

/// A trace.
pub(super) struct Capture<'a> {
    pub(super) trace: Trace,
    /// Requests that no probe saw begin.
    pub(super) earlier: OlderRequests,
    /// What is written while the trace goes on.
    pub(super) stream: Stream<'a>,
    pub(super) traps: TrapCost,
    /// What a trap takes at each kind of site.
    pub(super) trap_ns: [f64; SiteKind::ALL.len()],
    pub(super) counts: Counts,
    pub(super) goroutines: Vec<Goroutine>,
    pub(super) ended_goroutines: Vec<EndedGoroutine>,
    /// Of `CLOCK_MONOTONIC`, as all times here.
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    pub(super) end_reason: EndReason,
    /// What the target may use.
    pub(super) allowance: Allowance,
    /// The CPU time that it used meanwhile; `None` if it is gone.
    pub(super) used: Option<Duration>,
}

impl<'a> Capture<'a> {
    /// Nothing yet.
    pub(super) fn new(
        earlier: OlderRequests,
        stream: Stream<'a>,
        (traps, sites): (TrapCost, &[sites::Site]),
        start_ns: u64,
        allowance: Allowance,
    ) -> Capture<'a> {
        Capture {
            // No report has the steps of single requests.
            trace: Trace::new(Limits { steps: 0, ..Limits::default() }),
            earlier,
            stream,
            traps,
            trap_ns: trap_ns(sites, traps),
            counts: Counts::default(),
            goroutines: Vec::new(),
            ended_goroutines: Vec::new(),
            start_ns,
            end_ns: start_ns,
            end_reason: EndReason::Stopped,
            allowance,
            used: None,
        }
    }

    /// Adds an event.
    pub(super) fn add(&mut self, event: Event) {
        if let Event::RequestBegin { goid, time_ns, .. } = event {
            self.earlier.begins(goid, time_ns);
        }
        self.stream.event(&event);
        if let Some(one) = self.trace.take(event) {
            self.stream.request(&one);
        }
    }

    /// The trace as it ended.
    pub(super) fn finished(&self) -> Finished<'_> {
        Finished {
            trace: &self.trace,
            goroutines: &self.goroutines,
            ended: &self.ended_goroutines,
            start_ns: self.start_ns,
            end_ns: self.end_ns,
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
