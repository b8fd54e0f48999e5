//! Makes a [`Profile`]: interns everything that repeats and adds up everything that agrees.
//!
//! Tables keep the order in which things were first seen, so the same calls always give the same profile. The hasher is
//! seeded at random: strings come from the target, and a target must not be able to choose names that all collide.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use indexmap::{Equivalent, IndexSet};

use crate::replicates::{ByReplicate, Part, Parts, REPLICATES, Replicates, add};
use crate::{
    Accounting, Function, FunctionId, LabelSetId, Line, Location, LocationId, NewRequest, Profile, Request, RequestId,
    Sample, SampleKey, StackId, StringId, Target, Weight, route,
};

/// A table in which equal things are stored once, in order of first appearance.
type Table<T> = IndexSet<T, RandomState>;

/// Makes a [`Profile`].
///
/// Ids are only meaningful to the builder that gave them out.
#[derive(Clone, Debug)]
pub struct Builder {
    target: Target,
    start_unix_ns: u64,
    strings: Table<String>,
    functions: Table<Function>,
    locations: Table<Location>,
    by_address: HashMap<u64, LocationId, RandomState>,
    stacks: Table<Vec<LocationId>>,
    label_sets: Table<Vec<(StringId, StringId)>>,
    requests: Vec<Request>,
    samples: Vec<Sample>,
    replicate_ns: ByReplicate,
    parts: Parts,
    /// Indices of `samples`, by the hash of their keys: a million samples are not held twice.
    by_key: HashTable<u32>,
    hasher: RandomState,
}

impl Builder {
    /// An empty profile of `target` that starts at `start_unix_ns` nanoseconds after the Unix epoch.
    ///
    /// String 0 is the empty string and label set 0 the empty set from the start.
    pub fn new(target: Target, start_unix_ns: u64) -> Builder {
        let mut builder = Builder {
            target,
            start_unix_ns,
            strings: Table::default(),
            functions: Table::default(),
            locations: Table::default(),
            by_address: HashMap::default(),
            stacks: Table::default(),
            label_sets: Table::default(),
            requests: Vec::new(),
            samples: Vec::new(),
            replicate_ns: [0; REPLICATES],
            parts: Parts::default(),
            by_key: HashTable::new(),
            hasher: RandomState::default(),
        };
        builder.string("");
        builder.labels(&[]);
        builder
    }

    pub(crate) fn start_unix_ns(&self) -> u64 {
        self.start_unix_ns
    }

    /// The id of a string.
    pub fn string(&mut self, text: &str) -> StringId {
        StringId(intern(&mut self.strings, text, str::to_owned))
    }

    /// The id of a function: its full name as Go prints it, its source file (empty when unknown) and the line of its
    /// `func` keyword (0 when unknown).
    pub fn function(&mut self, name: &str, file: &str, start_line: u32) -> FunctionId {
        let function = Function { name: self.string(name), file: self.string(file), start_line };
        FunctionId(intern(&mut self.functions, &function, |f| *f))
    }

    /// The id of the code at `address`, which stands for `lines`, innermost call first, each a function and a line
    /// number (0 when unknown).
    ///
    /// A location without lines gets the line `[unknown]`, because every frame must have a name to be shown.
    pub fn location(&mut self, address: u64, lines: &[(FunctionId, u32)]) -> LocationId {
        let mut lines: Vec<Line> = lines.iter().map(|&(function, line)| Line { function, line }).collect();
        if lines.is_empty() {
            lines.push(Line { function: self.function("[unknown]", "", 0), line: 0 });
        }
        let location = Location { address, lines };
        let id = LocationId(intern(&mut self.locations, &location, Location::clone));
        if address != 0 {
            self.by_address.entry(address).or_insert(id);
        }
        id
    }

    /// The location that [`Builder::location`] was first given for `address`, so that a caller need not look up names
    /// and lines again.
    pub fn location_at(&self, address: u64) -> Option<LocationId> {
        self.by_address.get(&address).copied()
    }

    /// The id of a frame that is not code, for instance `[running: no perf_event permission]`.
    pub fn synthetic(&mut self, name: &str) -> LocationId {
        let function = self.function(name, "", 0);
        self.location(0, &[(function, 0)])
    }

    /// The id of a stack, leaf first.
    pub fn stack(&mut self, locations: &[LocationId]) -> StackId {
        StackId(intern(&mut self.stacks, locations, <[LocationId]>::to_vec))
    }

    /// The id of a set of labels, in any order. Of two labels with one key the first is kept.
    pub fn labels(&mut self, labels: &[(&str, &str)]) -> LabelSetId {
        let mut sorted = labels.to_vec();
        sorted.sort_by_key(|&(key, _)| key);
        sorted.dedup_by_key(|&mut (key, _)| key);
        let set: Vec<(StringId, StringId)> =
            sorted.into_iter().map(|(key, value)| (self.string(key), self.string(value))).collect();
        LabelSetId(intern(&mut self.label_sets, set.as_slice(), <[(StringId, StringId)]>::to_vec))
    }

    /// Adds a request, and works out its route: for gRPC the full method, `/shop.Orders/Get`; else the pattern that it
    /// matched, with the method if the pattern has none, `GET /orders/{id}`; else the method and the path without its
    /// query, in which numbers, UUIDs, hexadecimal digits and other ids have become `{id}`.
    ///
    /// Each call adds one: two requests may agree in everything that is known of them.
    pub fn request(&mut self, new: NewRequest<'_>) -> RequestId {
        let route = route::route(new.protocol, new.method, new.path, new.pattern);
        self.request_of_route(new, &route)
    }

    /// Adds a request whose route is known.
    pub(crate) fn request_of_route(&mut self, new: NewRequest<'_>, route: &str) -> RequestId {
        let request = Request {
            protocol: new.protocol,
            method: self.string(new.method),
            path: self.string(new.path),
            pattern: self.string(new.pattern),
            route: self.string(route),
            trace_id: self.string(new.trace_id),
            span_id: self.string(new.span_id),
            request_id: self.string(new.request_id),
            goid: new.goid,
            first_ns: new.first_ns,
            last_ns: new.last_ns,
            sighting: new.sighting,
            spans: new.spans,
        };
        let id = RequestId(self.requests.len() as u32);
        self.requests.push(request);
        id
    }

    /// Adds `count` observations that stand for `time_ns` nanoseconds of wall time. Sums saturate.
    pub fn add(&mut self, key: SampleKey, count: u64, time_ns: u64) {
        self.add_weight(key, Weight { count, time_ns, variance_us2: 0 });
    }

    /// Adds observations, the time they stand for, and how sure that is. Sums saturate.
    pub fn add_weight(&mut self, key: SampleKey, weight: Weight) {
        let Builder { samples, by_key, hasher, .. } = self;
        let at = |index: u32| samples.get(index as usize);
        let hash = |index: &u32| at(*index).map_or(0, |sample| hasher.hash_one(sample.key()));
        let found =
            by_key.entry(hasher.hash_one(key), |&index| at(index).is_some_and(|sample| sample.key() == key), hash);
        match found {
            Entry::Occupied(found) => {
                let index = *found.get() as usize;
                if let Some(sample) = samples.get_mut(index) {
                    *sample = key.sample(sample.weight() + weight);
                }
            }
            Entry::Vacant(place) => {
                place.insert(samples.len() as u32);
                samples.push(key.sample(weight));
            }
        }
    }

    /// Adds time of goroutines to which all of `key` but the goroutine applies, by replicate.
    pub fn add_part(&mut self, key: SampleKey, time_ns: &ByReplicate) {
        add(self.parts.entry(SampleKey { goid: 0, ..key }).or_insert([0; REPLICATES]), time_ns);
    }

    /// Adds what the ticks of each replicate stand for.
    pub fn add_replicates(&mut self, duration_ns: &ByReplicate) {
        add(&mut self.replicate_ns, duration_ns);
    }

    /// The number of samples so far: what memory the profile takes grows with.
    pub fn sample_count(&self) -> usize {
        self.samples.len()
    }

    /// The profile, which took `duration_ns` nanoseconds by the clock and came about as `accounting` says.
    pub fn finish(self, duration_ns: u64, accounting: Accounting) -> Profile {
        Profile {
            target: self.target,
            start_unix_ns: self.start_unix_ns,
            duration_ns,
            accounting,
            strings: self.strings.into_iter().collect(),
            functions: self.functions.into_iter().collect(),
            locations: self.locations.into_iter().collect(),
            stacks: self.stacks.into_iter().collect(),
            label_sets: self.label_sets.into_iter().collect(),
            requests: self.requests,
            samples: self.samples,
            replicates: Replicates {
                duration_ns: self.replicate_ns,
                parts: self.parts.into_iter().map(|(key, time_ns)| Part { key, time_ns }).collect(),
            },
        }
    }
}

/// The place of `value` in `table`, which makes an entry of its own only for what is new.
fn intern<T, Q>(table: &mut Table<T>, value: &Q, own: impl FnOnce(&Q) -> T) -> u32
where
    T: Hash + Eq,
    Q: Hash + Equivalent<T> + ?Sized,
{
    let index = match table.get_index_of(value) {
        Some(index) => index,
        None => table.insert_full(own(value)).0,
    };
    // 2^32 entries take more than 50 GB; even then the id stays inside the table.
    index as u32
}
