//! JSON, for `jq` and scripts.
//!
//! ```text
//! {
//!   "format": "fgspy-profile",          always this
//!   "version": 1,                       of this schema; a change that breaks a reader raises it
//!   "target": {"pid", "executable", "command": [..], "go_version", "build_id", "arch"},
//!   "start_unix_ns", "duration_ns",
//!   "totals": {"time_ns", "average_goroutines", "by_class_ns": {"running": .., ..},
//!              "by_class_95_ns": {..},    half the width of the 95 % interval of each
//!              "serving": {"requests", "routes", "request_ns", "idle_ns", "by_idle_ns": {"accepting": .., ..},
//!                          "nothing_ns", "unknown_ns"}},   or null if nobody looked for requests
//!   "accounting": {..},                 see `fgspy_profile::Accounting`: the names and units are those
//!   "frames": [{"function", "file", "line", "start_line", "address": "0x..", "inlined"}, ..],
//!   "stacks": [[..], ..],               each a list of indices into "frames", leaf first
//!   "samples": [{"stack", "goroutine", "state", "wait_reason", "class", "labels": {..}, "creator", "serving", "idle",
//!                "request", "count", "time_ns", "standard_error_ns"}, ..],
//!   "routes": [{"route", "requests", "time_ns", "by_class_ns": {..},            most time first
//!               "own": {"time_ns", "by_state": {"on_cpu": {"time_ns", "share", "low", "high"}, ..}}}, ..],
//!   "requests": [{"protocol", "method", "path", "pattern", "route", "trace_id", "span_id", "request_id", "goroutine",
//!                 "first_ns", "last_ns", "at_least_ns", "at_most_ns",
//!                 "spans": [{"from_ns", "to_ns", "goroutine", "state", "wait_reason"}, ..]}, ..]
//! }
//! ```
//!
//! `file` is empty and `line` and `start_line` are 0 when unknown; `address` is `0x0` for a frame that is not code.
//! `inlined` says that the compiler inlined the call into the frame that follows. `stack` is an index into `stacks`,
//! `creator` one into `frames` or null. `wait_reason` is empty unless the state is `waiting`. `class` is the state or the
//! wait class: the words of the flame graph's legend. `standard_error_ns` is what is unsure about `time_ns` because not
//! every goroutine was read at every tick. Times are nanoseconds.
//!
//! `serving` is `request` if the goroutine served the request at the index `request` of `requests` (else null) or was started
//! by one that did; `idle` if it belongs to a server but served none, with one of `accepting`, `connection`, `transport` and
//! `worker` in `idle` (else empty); `nothing` if it belongs to no server; `unknown` if it was not looked for or is unknown.
//! Of a route, `own` is the time of the goroutines that serve its requests, without those that they started; `low` and `high` are
//! the ends of the 95 % interval of the share of a state.
//!
//! Of a request, what is not known is empty or null. It took between `at_least_ns` and `at_most_ns`. `first_ns`, `last_ns`,
//! `from_ns` and `to_ns` count from the start of the recording, and say for which time it is credited (a tick stands for the
//! whole period before it). `spans` are what its goroutines were doing when; they may be missing or cut.
//!
//! There is one row in a line, so that text tools see rows too. The ten samples with the most time:
//!
//! ```text
//! jq -r '. as $p | $p.samples | sort_by(-.time_ns)[:10][]
//!        | "\(.time_ns / 1e9) s \(.class) \($p.frames[$p.stacks[.stack][0]].function)"' profile.json
//! ```

mod requests;

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};

use fgspy_profile::{Class, LocationId, Profile, Sample, StackId};
use serde::{Serialize, Serializer};

/// The version of the schema.
pub const VERSION: u32 = 1;

#[derive(Serialize)]
struct Target<'a> {
    pid: u32,
    executable: &'a str,
    command: &'a [String],
    go_version: &'a str,
    build_id: &'a str,
    arch: &'a str,
}

#[derive(Serialize)]
struct Totals {
    time_ns: u64,
    average_goroutines: f64,
    #[serde(serialize_with = "by_word")]
    by_class_ns: [(Class, u64); Class::COUNT],
    #[serde(serialize_with = "by_word")]
    by_class_95_ns: [(Class, u64); Class::COUNT],
    serving: Option<requests::Totals>,
}

#[derive(Serialize)]
struct Frame<'a> {
    function: &'a str,
    file: &'a str,
    line: u32,
    start_line: u32,
    address: String,
    inlined: bool,
}

#[derive(Serialize)]
struct Row<'a> {
    stack: u32,
    goroutine: u64,
    state: &'a str,
    wait_reason: &'a str,
    class: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
    creator: Option<u64>,
    serving: &'a str,
    idle: &'a str,
    request: Option<u32>,
    count: u64,
    time_ns: u64,
    standard_error_ns: u64,
}

/// As an object, in the order of the classes.
fn by_word<S: Serializer>(times: &[(Class, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(times.iter().map(|(class, time)| (class.word(), time)))
}

/// Writes `profile` as JSON.
pub fn write(profile: &Profile, out: impl Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let target = &profile.target;
    out.write_all(b"{\n")?;
    member(&mut out, "format", &"fgspy-profile")?;
    member(&mut out, "version", &VERSION)?;
    member(
        &mut out,
        "target",
        &Target {
            pid: target.pid,
            executable: &target.executable,
            command: &target.command,
            go_version: &target.go_version,
            build_id: &target.build_id,
            arch: &target.arch,
        },
    )?;
    member(&mut out, "start_unix_ns", &profile.start_unix_ns)?;
    member(&mut out, "duration_ns", &profile.duration_ns)?;
    member(
        &mut out,
        "totals",
        &Totals {
            time_ns: profile.total_time(),
            average_goroutines: profile.average_goroutines(),
            by_class_ns: profile.by_class(),
            by_class_95_ns: profile.class_errors().map(|(class, error)| (class, error.round() as u64)),
            serving: profile.serving_totals().map(requests::Totals::from),
        },
    )?;
    member(&mut out, "accounting", &profile.accounting)?;
    let first_frames = first_frames(profile);
    let locations = (0..profile.locations.len()).map(|index| LocationId(index as u32));
    rows(&mut out, "frames", locations.flat_map(|location| frames(profile, location)))?;
    out.write_all(b",\n")?;
    let stacks = (0..profile.stacks.len()).map(|index| stack(profile, &first_frames, StackId(index as u32)));
    rows(&mut out, "stacks", stacks)?;
    out.write_all(b",\n")?;
    rows(&mut out, "samples", profile.samples.iter().map(|sample| row(profile, &first_frames, sample)))?;
    out.write_all(b",\n")?;
    let shares = requests::shares(profile);
    rows(&mut out, "routes", profile.by_route().iter().map(|route| requests::route(profile, &shares, route)))?;
    out.write_all(b",\n")?;
    rows(&mut out, "requests", profile.requests.iter().map(|request| requests::request(profile, request)))?;
    out.write_all(b"\n}\n")?;
    out.flush()
}

fn member<T: Serialize + ?Sized>(out: &mut impl Write, name: &str, value: &T) -> io::Result<()> {
    write!(out, "  \"{name}\": ")?;
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b",\n")
}

fn rows<T: Serialize>(out: &mut impl Write, name: &str, rows: impl Iterator<Item = T>) -> io::Result<()> {
    write!(out, "  \"{name}\": [")?;
    for (index, row) in rows.enumerate() {
        out.write_all(if index == 0 { b"\n    " } else { b",\n    " })?;
        serde_json::to_writer(&mut *out, &row)?;
    }
    out.write_all(b"\n  ]")
}

/// For each location, the index of the first of its frames in the list of all frames.
fn first_frames(profile: &Profile) -> Vec<u64> {
    let lengths = profile.locations.iter().map(|location| location.lines.len() as u64);
    let starts = lengths.scan(0, |next, length| {
        let start = *next;
        *next += length;
        Some(start)
    });
    starts.collect()
}

fn frames(profile: &Profile, location: LocationId) -> impl Iterator<Item = Frame<'_>> {
    profile.location_frames(location).map(|frame| Frame {
        function: frame.name,
        file: frame.file,
        line: frame.line,
        start_line: frame.start_line,
        address: format!("{:#x}", frame.address),
        inlined: frame.inlined,
    })
}

fn stack(profile: &Profile, first_frames: &[u64], stack: StackId) -> Vec<u64> {
    let locations = profile.stacks.get(stack.index()).map_or(&[][..], Vec::as_slice);
    let frames = |location: &LocationId| {
        let start = first_frames.get(location.index()).copied().unwrap_or(0);
        let length = profile.locations.get(location.index()).map_or(0, |found| found.lines.len() as u64);
        start..start + length
    };
    locations.iter().flat_map(frames).collect()
}

fn row<'a>(profile: &'a Profile, first_frames: &[u64], sample: &Sample) -> Row<'a> {
    Row {
        stack: sample.stack.0,
        goroutine: sample.goid,
        state: sample.state.word(),
        wait_reason: profile.wait_reason(sample),
        class: sample.class(profile).word(),
        labels: profile.labels(sample.labels).collect(),
        creator: sample.creator.and_then(|location| first_frames.get(location.index()).copied()),
        serving: sample.serving.word(),
        idle: sample.serving.idle().map_or("", fgspy_profile::Idle::word),
        request: sample.serving.request().map(|id| id.0),
        count: sample.count,
        time_ns: sample.time_ns,
        standard_error_ns: ((sample.variance_us2 as f64).sqrt() * 1e3).round() as u64,
    }
}
