//! What was taken down while tracing.

use std::time::Duration;

use fgspy_memory::Allowance;
use fgspy_probes::{Counts, Earlier, Ended as Gone, Event, Goroutine, Limits, SiteKind, Trace, Traps, sites, trap_ns};

use super::stream::Stream;

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
    /// What was recorded could not be written.
    NotWritten,
}

/// Everything there is to write.
pub(super) struct Taken<'a> {
    pub(super) trace: Trace,
    /// Requests that no probe saw begin.
    pub(super) earlier: Earlier,
    /// What is written while it is taken.
    pub(super) stream: Stream<'a>,
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
    /// What the target may use.
    pub(super) allowance: Allowance,
    /// The CPU time that it used meanwhile; `None` if it is gone.
    pub(super) used: Option<Duration>,
}

impl<'a> Taken<'a> {
    /// Nothing yet.
    pub(super) fn new(
        earlier: Earlier,
        stream: Stream<'a>,
        (traps, sites): (Traps, &[sites::Site]),
        start_ns: u64,
        allowance: Allowance,
    ) -> Taken<'a> {
        Taken {
            // Nobody looks at the steps of single requests.
            trace: Trace::new(Limits { steps: 0, ..Limits::default() }),
            earlier,
            stream,
            traps,
            trap_ns: trap_ns(sites, traps),
            counts: Counts::default(),
            goroutines: Vec::new(),
            gone: Vec::new(),
            start_ns,
            end_ns: start_ns,
            ended: Ended::Stopped,
            allowance,
            used: None,
        }
    }

    /// Takes an event down.
    pub(super) fn take(&mut self, event: Event) {
        if let Event::RequestBegin { goid, time_ns, .. } = event {
            self.earlier.begins(goid, time_ns);
        }
        self.stream.event(&event);
        if let Some(one) = self.trace.take(event) {
            self.stream.request(&one);
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
