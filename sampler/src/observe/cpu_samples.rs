//! Whose time a kernel's sample is: joins what it says itself with what was read of its goroutine before and after.
//!
//! A sample is of a moment between two ticks. What its own frames say of the request holds for that moment. Else what was
//! read at both ticks holds, if it is the same: a request that has ended does not come back.

use std::collections::HashMap;

use fgspy_goroutines::request::SampledServing;
use fgspy_profile::Serving;

use super::Observer;
use super::serving::idle_of;
use crate::estimate::{Cell, OnCpuPlace, RawLabelsId, Whose};
use crate::on_cpu::Named;
use crate::tick::Now;

/// What is known of a goroutine at one tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    goid: u64,
    serving: Serving,
    labels: RawLabelsId,
    /// Where its labels were; 0 if it had none.
    labels_at: u64,
    /// It was looked at, at that tick.
    is_fresh: bool,
    /// It counts.
    is_seen: bool,
}

/// What is known of the goroutines that were sampled, before the tick's reads.
#[derive(Debug, Default)]
pub(crate) struct Before(HashMap<u32, Known>);

impl Observer {
    /// What was known of sampled goroutines at the tick before. This comes before the reads of the tick.
    pub(crate) fn before<'a>(&self, samples: impl Iterator<Item = &'a Named>, now: Now) -> Before {
        Before(samples.map(|sample| (sample.index, self.known(sample.index, now.previous_ns))).collect())
    }

    /// Takes what the kernel saw in this interval of goroutines that its samples name, with what these served by the samples
    /// themselves. Samples from before `since_ns`, of the kernel's clock, may be from before the reads of the tick before.
    pub(crate) fn see_on_cpu(
        &mut self,
        samples: impl Iterator<Item = (Named, SampledServing)>,
        before: &Before,
        now: Now,
        since_ns: u64,
    ) {
        for (sample, served) in samples {
            let before = before.0.get(&sample.index).copied().unwrap_or_default();
            let after = self.known(sample.index, now.now_ns);
            let cell = self.slot(sample.index).cell.and_then(|cell| self.aggregate.at(cell));
            let known = cell.map(|cell| cell.start_pc);
            // Frames of others may be another request's.
            let is_like = |cell: Cell| known == sample.start_pc && cell.serving.request().is_none();
            if !sample.is_own && !cell.is_some_and(is_like) {
                continue;
            }
            let Some(start_pc) = sample.start_pc.or(known) else { continue };
            // The g may be another goroutine's by now, or none's.
            let is_known = known == Some(start_pc) && (before.goid == after.goid || before.goid == 0);
            let goid = if is_known { after.goid } else { 0 };
            let is_steady = sample.time_ns >= since_ns && stayed(before, after);
            let whose = match served {
                SampledServing::Serving(request) => self.requests.whose(&request, goid),
                SampledServing::Idle(idle) => Whose::Serving(Serving::Idle(idle_of(idle))),
                SampledServing::Nothing | SampledServing::Unknown => Whose::Serving(match after.serving {
                    Serving::Request(_) | Serving::Nothing if is_steady => after.serving,
                    _ if served == SampledServing::Unknown => Serving::Unknown,
                    // It may have been for a request, of which its own frames say nothing.
                    Serving::Request(_) => Serving::Unknown,
                    _ if matches!(before.serving, Serving::Request(_)) => Serving::Unknown,
                    _ => Serving::Nothing,
                }),
            };
            // Its g may have been others' in between, where that matters: of requests, it says whose.
            let is_certain =
                (before.goid == after.goid && before.is_fresh && after.is_fresh) || self.requests.len() == 0;
            let goid = if whose == Whose::Serving(Serving::Unknown) && !is_certain { 0 } else { goid };
            let labels = labels(before, after, is_steady);
            let stack = self.aggregate.stack_id(sample.stack);
            let place = OnCpuPlace { goid: self.shown(goid), start_pc, whose, labels, stack };
            self.aggregate.saw_on_cpu(place, 1.0);
        }
    }

    /// What is known of g number `index` that was looked at last at `looked_ns`, or else is not fresh.
    pub(super) fn known(&self, index: u32, looked_ns: u64) -> Known {
        let slot = self.slot(index);
        let cell = slot.cell.and_then(|cell| self.aggregate.at(cell));
        Known {
            goid: slot.goid,
            serving: cell.map_or(Serving::Unknown, |cell| cell.serving),
            labels: cell.map_or(RawLabelsId::default(), |cell| cell.labels),
            labels_at: self.labels_at.get(index, slot.goid),
            is_fresh: slot.looked_ns == looked_ns && looked_ns != 0,
            is_seen: cell.is_some(),
        }
    }
}

/// Whether a goroutine served the same at both ticks, as far as it serves requests one after the other, and so in between.
pub(super) fn stayed(before: Known, after: Known) -> bool {
    before.is_fresh
        && after.is_fresh
        && before.is_seen
        && before.goid == after.goid
        && before.serving == after.serving
        && matches!(after.serving, Serving::Request(_) | Serving::Nothing)
}

/// The labels of a goroutine between two ticks.
pub(super) fn labels(before: Known, after: Known, is_steady: bool) -> Option<RawLabelsId> {
    let had_none = before.labels == RawLabelsId::default() && after.labels == RawLabelsId::default();
    // Each set of labels is made anew, but by those who set the same ones again and again.
    let had_same = is_steady && before.labels == after.labels && before.labels_at == after.labels_at;
    (had_none || had_same).then_some(after.labels)
}
