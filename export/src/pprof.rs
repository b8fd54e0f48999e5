//! pprof: the profile format of the Go world (`.pb.gz`), for `go tool pprof`, Pyroscope, Parca and their like.
//!
//! # What is in it
//!
//! | sample type | unit | meaning |
//! |---|---|---|
//! | `samples` | `count` | observations |
//! | `time` | `nanoseconds` | wall time they stand for; what is shown if nobody asks for another |
//! | `cpu` | `nanoseconds` | the part of it in state `running` |
//! | `offcpu` | `nanoseconds` | the rest: waiting, runnable, off the CPU, and system calls, of which the part on a CPU is not known |
//!
//! The period type is `wallclock`/`nanoseconds` and the first two sample types have the names that fgprof gives them,
//! because that is what stores know: Parca calls `time:nanoseconds:wallclock:nanoseconds` "Fgprof Samples Time".
//!
//! | label | value |
//! |---|---|
//! | `state` | the word of the state: `running`, `waiting`, … |
//! | `wait_reason` | the runtime's own words, on samples in state `waiting` |
//! | `http.method`, `http.route` | of the HTTP request that was served: `GET`; `GET /orders/{id}` |
//! | `rpc.method` | of the gRPC call that was served: `/shop.Orders/Get` |
//! | `trace_id`, `span_id`, `request_id` | of the request or call that was served, as far as they are known |
//! | `idle` | `accepting`, `connection`, `transport` or `worker`: a server's goroutine that served no request |
//! | any other | the target's own `runtime/pprof` labels |
//!
//! A label of the target that is itself called `state` or `wait_reason` is renamed to `label.state` or
//! `label.wait_reason` (`label.label.state`, where it has a `label.state` too: no sample has a key twice). Where it has any other of these itself, its own is kept and ours is not. A label with an empty
//! value is left out, because pprof cannot tell the two apart; so is one with an empty key, for which Parca refuses the profile.
//!
//! `go tool pprof` takes a filter of digits alone, or of digits followed by letters alone, for a number, and ends in a panic
//! where twenty digits or so follow each other (`parseTagFilterRange` in its `driver_focus.go`, as of Go 1.26). Few trace ids
//! are like that; `fgspy report --trace` takes any.
//!
//! Goroutine ids and creators are not in it: samples that differ only in them are added up. Pyroscope and Parca make a
//! series of each set of labels, and a series for each goroutine would be the end of them. The recording and the JSON
//! have both.
//!
//! Ids of mappings, locations and functions are 1, 2, 3, … in the order of their tables. The format does not ask for that,
//! but Parca does.
//!
//! The mapping is the executable's text segment, with its build id, as Go's own profiles have it. It says that functions,
//! files, lines and inlined calls are all there, so no reader tries to find symbols in a binary that it may not have, or
//! that is stripped. Locations outside it (C libraries, the kernel, what has no address) belong to no mapping. How the
//! profile came about is in its comments (`go tool pprof -comments`).

mod labels;
pub mod proto;

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};

use fgspy_profile::{LocationId, Mapping, Profile, Sample, StringId};
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;

use crate::summary;
use labels::Labels;

/// The id of the only mapping: the target's executable.
const MAPPING: u64 = 1;

/// Writes `profile` as gzipped pprof.
///
/// Piece by piece: a protobuf message may be cut into pieces that hold some of its fields each, and so a profile of a
/// million samples need not be in memory a second time.
pub fn write(profile: &Profile, out: impl Write) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, GzEncoder::new(out, Compression::default()));
    let mut strings = Strings::new(profile);
    let used = Used::new(profile);
    put(&mut out, head(profile, &mut strings))?;
    let labels = Labels::new(profile, &mut strings);
    for sample in profile.samples_by(|sample| labels.key(sample)) {
        let sample = convert_sample(profile, &mut strings, &labels, &used, &sample);
        put(&mut out, proto::Profile { sample: vec![sample], ..Default::default() })?;
    }
    for (index, id) in used.locations.all() {
        let location = location(profile, &used, index, id);
        put(&mut out, proto::Profile { location: vec![location], ..Default::default() })?;
    }
    for (index, id) in used.functions.all() {
        let function = function(profile, index, id);
        put(&mut out, proto::Profile { function: function.into_iter().collect(), ..Default::default() })?;
    }
    for string in strings.all() {
        put(&mut out, proto::Profile { string_table: vec![string.to_owned()], ..Default::default() })?;
    }
    let gzip = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    gzip.finish()?.flush()
}

fn put(out: &mut impl Write, piece: proto::Profile) -> io::Result<()> {
    out.write_all(&piece.encode_to_vec())
}

/// Everything but samples, locations, functions and strings.
fn head(profile: &Profile, strings: &mut Strings<'_>) -> proto::Profile {
    let mut value = |kind: &str, unit: &str| proto::ValueType { r#type: strings.id(kind), unit: strings.id(unit) };
    let nanoseconds = "nanoseconds";
    let sample_type = vec![
        value("samples", "count"),
        value("time", nanoseconds),
        value("cpu", nanoseconds),
        value("offcpu", nanoseconds),
    ];
    let period_type = Some(value("wallclock", nanoseconds));
    let target = &profile.target;
    let Mapping { start, limit, file_offset } = target.mapping();
    let mapping = proto::Mapping {
        id: MAPPING,
        memory_start: start,
        memory_limit: limit,
        file_offset,
        filename: strings.id(&target.executable),
        build_id: strings.id(&target.build_id),
        has_functions: true,
        has_filenames: true,
        has_line_numbers: true,
        has_inline_frames: true,
    };
    let rate = profile.accounting.rate_hz;
    proto::Profile {
        sample_type,
        mapping: vec![mapping],
        time_nanos: signed(profile.start_unix_ns),
        duration_nanos: signed(profile.duration_ns),
        period_type,
        period: if rate > 0.0 { (1e9 / rate) as i64 } else { 0 },
        comment: summary::lines(profile).iter().map(|line| strings.id(line)).collect(),
        default_sample_type: strings.id("time"),
        ..Default::default()
    }
}

fn convert_sample(
    profile: &Profile,
    strings: &mut Strings<'_>,
    labels: &Labels,
    used: &Used,
    sample: &Sample,
) -> proto::Sample {
    let stack = profile.stacks.get(sample.stack.index()).map_or(&[][..], Vec::as_slice);
    let cpu = sample.cpu_ns();
    proto::Sample {
        location_id: stack.iter().filter_map(|location| used.locations.id(location.index())).collect(),
        value: [sample.count, sample.time_ns, cpu, sample.time_ns.saturating_sub(cpu)].map(signed).to_vec(),
        label: labels.of(profile, strings, sample),
    }
}

fn location(profile: &Profile, used: &Used, index: usize, id: u64) -> proto::Location {
    let address = profile.locations.get(index).map_or(0, |location| location.address);
    let lines = profile.location_frames(LocationId(index as u32)).filter_map(|frame| {
        let function_id = used.functions.id(frame.function.index())?;
        Some(proto::Line { function_id, line: frame.line.into() })
    });
    proto::Location {
        id,
        mapping_id: if profile.target.mapping().holds(address) { MAPPING } else { 0 },
        address,
        line: lines.collect(),
    }
}

fn function(profile: &Profile, index: usize, id: u64) -> Option<proto::Function> {
    profile.functions.get(index).map(|function| proto::Function {
        id,
        name: function.name.0.into(),
        system_name: function.name.0.into(),
        filename: function.file.0.into(),
        start_line: function.start_line.into(),
    })
}

/// pprof's numbers are signed; no profile lasts the 292 years that would not fit.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// What the stacks of the samples use; creators do not appear in pprof.
struct Used {
    locations: Numbered,
    functions: Numbered,
}

impl Used {
    fn new(profile: &Profile) -> Used {
        let mut stacks = vec![false; profile.stacks.len()];
        let mut locations = vec![false; profile.locations.len()];
        let mut functions = vec![false; profile.functions.len()];
        for sample in &profile.samples {
            mark(&mut stacks, sample.stack.index());
        }
        for (stack, _) in profile.stacks.iter().zip(&stacks).filter(|(_, used)| **used) {
            for location in stack {
                mark(&mut locations, location.index());
            }
        }
        for (location, _) in profile.locations.iter().zip(&locations).filter(|(_, used)| **used) {
            for line in &location.lines {
                mark(&mut functions, line.function.index());
            }
        }
        Used { locations: Numbered::new(&locations), functions: Numbered::new(&functions) }
    }
}

fn mark(table: &mut [bool], index: usize) {
    if let Some(entry) = table.get_mut(index) {
        *entry = true;
    }
}

/// Ids for the entries of a table that are used: 1, 2, 3, … in the order of the table. The format allows gaps, but Parca
/// refuses them ("function id is not sequential").
struct Numbered(Vec<Option<u64>>);

impl Numbered {
    fn new(used: &[bool]) -> Numbered {
        let mut last = 0;
        let ids = used.iter().map(|used| {
            last += u64::from(*used);
            used.then_some(last)
        });
        Numbered(ids.collect())
    }

    fn id(&self, index: usize) -> Option<u64> {
        self.0.get(index).copied().flatten()
    }

    /// Index and id of all that are used.
    fn all(&self) -> impl Iterator<Item = (usize, u64)> {
        self.0.iter().enumerate().filter_map(|(index, id)| Some((index, (*id)?)))
    }
}

/// The string table: the profile's own, so that its ids stay, and behind it what pprof needs besides.
struct Strings<'a> {
    profile: &'a Profile,
    known: HashMap<String, i64>,
    added: Vec<String>,
}

impl<'a> Strings<'a> {
    fn new(profile: &'a Profile) -> Strings<'a> {
        let known = profile.strings.iter().enumerate().map(|(index, text)| (text.clone(), index as i64)).collect();
        let mut strings = Strings { profile, known, added: Vec::new() };
        strings.id(""); // 0, as pprof demands, even in a profile without a string table
        strings
    }

    fn id(&mut self, text: &str) -> i64 {
        if let Some(&id) = self.known.get(text) {
            return id;
        }
        let id = (self.profile.strings.len() + self.added.len()) as i64;
        self.known.insert(text.to_owned(), id);
        self.added.push(text.to_owned());
        id
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        let own = (0..self.profile.strings.len()).map(|index| self.profile.string(StringId(index as u32)));
        own.chain(self.added.iter().map(String::as_str))
    }
}
