//! Samples from one profile into another, and two profiles into one.

use crate::{
    Accounting, Builder, LabelSetId, LocationId, NewRequest, Profile, RequestId, Sample, SampleKey, Serving, Span,
    StackId, StringId,
};

/// One profile of two.
///
/// Samples that agree are added up. The duration is the sum of both, so that total time ÷ duration stays an average
/// number of goroutines, and the start is the earlier one, from which the times of requests count. The target is the one of `a`; a remark names the other if it
/// was another process.
pub fn merge(a: &Profile, b: &Profile) -> Profile {
    let mut builder = Builder::new(a.target.clone(), a.start_unix_ns.min(b.start_unix_ns));
    builder.import(a, |_| true);
    builder.import(b, |_| true);
    let mut accounting = merge_accounting(a, b);
    if a.target != b.target {
        accounting.remarks.push(format!(
            "merged with a recording of another process: pid {} ({})",
            b.target.pid, b.target.executable
        ));
    }
    builder.finish(a.duration_ns.saturating_add(b.duration_ns), accounting)
}

fn merge_accounting(a: &Profile, b: &Profile) -> Accounting {
    let (x, y) = (&a.accounting, &b.accounting);
    let mut remarks = x.remarks.clone();
    remarks.extend(y.remarks.iter().filter(|&remark| !x.remarks.contains(remark)).cloned());
    Accounting {
        rate_hz: mean_rate(a, b),
        ticks: x.ticks.saturating_add(y.ticks),
        late_ticks: x.late_ticks.saturating_add(y.late_ticks),
        squared_intervals_us2: x.squared_intervals_us2.saturating_add(y.squared_intervals_us2),
        accepted: x.accepted.saturating_add(y.accepted),
        proven: x.proven.saturating_add(y.proven),
        changed: x.changed.saturating_add(y.changed),
        torn: x.torn.saturating_add(y.torn),
        broken: x.broken.saturating_add(y.broken),
        unmapped: x.unmapped.saturating_add(y.unmapped),
        spread_ns: x.spread_ns.saturating_add(y.spread_ns),
        unplaced_ns: x.unplaced_ns.saturating_add(y.unplaced_ns),
        cpu_samples: x.cpu_samples.saturating_add(y.cpu_samples),
        cpu_samples_lost: x.cpu_samples_lost.saturating_add(y.cpu_samples_lost),
        expected_ns: x.expected_ns.saturating_add(y.expected_ns),
        goroutine_ticks: x.goroutine_ticks.saturating_add(y.goroutine_ticks),
        own_cpu_ns: x.own_cpu_ns.saturating_add(y.own_cpu_ns),
        first_look_ns: x.first_look_ns.saturating_add(y.first_look_ns),
        max_cpu: match (x.max_cpu, y.max_cpu) {
            (Some(x), Some(y)) => Some(x.max(y)),
            _ => None,
        },
        remarks,
    }
}

/// The rate that was asked for, as the mean over both durations.
fn mean_rate(a: &Profile, b: &Profile) -> f64 {
    let (x, y) = (a.accounting.rate_hz, b.accounting.rate_hz);
    let (s, t) = (a.duration_ns as f64, b.duration_ns as f64);
    if x == y || s + t == 0.0 { x } else { (x * s + y * t) / (s + t) }
}

impl Builder {
    /// Adds the samples of `profile` that `keep` accepts, and of its tables only what they use. Requests stay apart from
    /// those that are here already; their times count from the start of this profile.
    ///
    /// How sure the times are goes along with samples of which `keep` says the same whatever the goroutine (it is asked
    /// about goroutine 0).
    pub fn import(&mut self, profile: &Profile, mut keep: impl FnMut(&Sample) -> bool) {
        let mut ids = Ids {
            from: profile,
            strings: vec![None; profile.strings.len()],
            locations: vec![None; profile.locations.len()],
            stacks: vec![None; profile.stacks.len()],
            labels: vec![None; profile.label_sets.len()],
            requests: vec![None; profile.requests.len()],
            later_ns: profile.start_unix_ns.saturating_sub(self.start_unix_ns()),
        };
        for sample in profile.samples.iter().filter(|sample| keep(sample)) {
            let key = ids.key(self, sample.key());
            self.add_weight(key, sample.weight());
        }
        self.add_replicates(&profile.replicates.duration_ns);
        for part in profile.replicates.parts.iter().filter(|part| keep(&part.sample())) {
            let key = ids.key(self, part.key);
            self.add_part(key, &part.time_ns);
        }
    }
}

/// The ids of another profile with what they have become here, each looked up once.
struct Ids<'a> {
    from: &'a Profile,
    strings: Vec<Option<StringId>>,
    locations: Vec<Option<LocationId>>,
    stacks: Vec<Option<StackId>>,
    labels: Vec<Option<LabelSetId>>,
    requests: Vec<Option<RequestId>>,
    /// How much later that profile starts.
    later_ns: u64,
}

impl Ids<'_> {
    fn key(&mut self, to: &mut Builder, key: SampleKey) -> SampleKey {
        SampleKey {
            stack: self.stack(to, key.stack),
            goid: key.goid,
            state: key.state,
            wait_reason: key.wait_reason.map(|id| self.string(to, id)),
            labels: self.label_set(to, key.labels),
            creator: key.creator.map(|id| self.location(to, id)),
            serving: self.serving(to, key.serving),
        }
    }

    fn string(&mut self, to: &mut Builder, id: StringId) -> StringId {
        once(&mut self.strings, id.index(), || to.string(self.from.string(id)))
    }

    fn location(&mut self, to: &mut Builder, id: LocationId) -> LocationId {
        once(&mut self.locations, id.index(), || {
            let mut lines = Vec::new();
            for frame in self.from.location_frames(id) {
                lines.push((to.function(frame.name, frame.file, frame.start_line), frame.line));
            }
            to.location(self.from.locations.get(id.index()).map_or(0, |location| location.address), &lines)
        })
    }

    fn stack(&mut self, to: &mut Builder, id: StackId) -> StackId {
        if let Some(Some(known)) = self.stacks.get(id.index()) {
            return *known;
        }
        let from = self.from;
        let locations = from.stacks.get(id.index()).map_or(&[][..], Vec::as_slice);
        let locations: Vec<LocationId> = locations.iter().map(|&location| self.location(to, location)).collect();
        once(&mut self.stacks, id.index(), || to.stack(&locations))
    }

    /// A request that is not in the table is not known.
    fn serving(&mut self, to: &mut Builder, serving: Serving) -> Serving {
        let Some(id) = serving.request() else { return serving };
        if let Some(Some(known)) = self.requests.get(id.index()) {
            return Serving::Request(*known);
        }
        let from = self.from;
        let Some(request) = from.requests.get(id.index()) else { return Serving::Unknown };
        let spans: Vec<Span> = request
            .spans
            .iter()
            .map(|span| Span {
                from_ns: span.from_ns.saturating_add(self.later_ns),
                to_ns: span.to_ns.saturating_add(self.later_ns),
                wait_reason: span.wait_reason.map(|id| self.string(to, id)),
                ..*span
            })
            .collect();
        let new = NewRequest {
            protocol: request.protocol,
            method: from.string(request.method),
            path: from.string(request.path),
            pattern: from.string(request.pattern),
            trace_id: from.string(request.trace_id),
            span_id: from.string(request.span_id),
            request_id: from.string(request.request_id),
            goid: request.goid,
            first_ns: request.first_ns.saturating_add(self.later_ns),
            last_ns: request.last_ns.saturating_add(self.later_ns),
            sighting: request.sighting.map(|sighting| sighting.later(self.later_ns)),
            spans,
        };
        // The route stays as it is: it may be by the user's own rule.
        Serving::Request(once(&mut self.requests, id.index(), || to.request_of_route(new, from.string(request.route))))
    }

    fn label_set(&mut self, to: &mut Builder, id: LabelSetId) -> LabelSetId {
        once(&mut self.labels, id.index(), || to.labels(&self.from.labels(id).collect::<Vec<_>>()))
    }
}

/// The entry at `index`, made at first use; what is outside the table is made anew each time.
fn once<T: Copy>(table: &mut [Option<T>], index: usize, make: impl FnOnce() -> T) -> T {
    match table.get_mut(index) {
        Some(Some(known)) => *known,
        Some(entry) => *entry.insert(make()),
        None => make(),
    }
}
