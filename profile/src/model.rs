//! The profile as plain data: tables of strings, functions, locations and stacks, and samples that point into them.
//!
//! Everything is an index into a table of its own, so that a million samples stay small and every exporter can walk the
//! tables once. [`crate::Builder`] is the way to make one.

use serde::{Deserialize, Serialize};

use crate::replicates::Replicates;
use crate::{FunctionId, LocationId, Request, Sample, StringId};

/// A function of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Function {
    /// Full name as Go prints it: `net/http.(*conn).serve`.
    pub name: StringId,
    /// Source file; the empty string when unknown.
    pub file: StringId,
    /// Line of the `func` keyword; 0 when unknown (Go before 1.20 does not record it).
    pub start_line: u32,
}

/// One source line at a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Line {
    /// The function.
    pub function: FunctionId,
    /// Line number; 0 when unknown.
    pub line: u32,
}

/// One physical frame, with the calls that were inlined into it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Location {
    /// Address in the target's address space; 0 for a frame that is not code (`[running: no perf_event permission]`).
    pub address: u64,
    /// Innermost first; never empty.
    pub lines: Vec<Line>,
}

/// What was profiled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Process id as the user knows it.
    pub pid: u32,
    /// Path of the executable as the target sees it.
    pub executable: String,
    /// Command line, as far as it is kept: the arguments may hold secrets.
    pub command: Vec<String>,
    /// `go1.27.3`.
    pub go_version: String,
    /// GNU or Go build id, if the executable has one.
    pub build_id: String,
    /// `amd64` or `arm64`.
    pub arch: String,
    /// Address range of the executable's text segment in the target, in whole pages, and the file offset of its start. All 0
    /// if it is not known. See [`Target::mapping`].
    pub text: (u64, u64, u64),
}

impl Target {
    /// Where the executable's code is mapped.
    pub fn mapping(&self) -> Mapping {
        let (start, limit, file_offset) = self.text;
        Mapping { start, limit, file_offset }
    }
}

/// A range of a target's addresses that a part of its executable is mapped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The first address.
    pub start: u64,
    /// The address behind the last one.
    pub limit: u64,
    /// Where in the file the part begins.
    pub file_offset: u64,
}

impl Mapping {
    /// Whether code at `address` is the executable's. What has no address is not. Where the mapping is not known, all other
    /// code is taken to be.
    pub fn holds(&self, address: u64) -> bool {
        address != 0 && (self.limit == 0 || (self.start..self.limit).contains(&address))
    }
}

/// How the profile came about; everything that was rejected, late or lost is counted here and shown to the user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Accounting {
    /// Ticks a second that were asked for.
    pub rate_hz: f64,
    /// Ticks that took place.
    pub ticks: u64,
    /// Ticks that came more than half an interval late.
    pub late_ticks: u64,
    /// Sum of the squared intervals that ticks stood for, in square microseconds: an observation at a tick that came late
    /// stands for much, and is no surer than another. 0 where it is not known.
    pub squared_intervals_us2: u64,
    /// Observations accepted: goroutines read whose stack is known.
    pub accepted: u64,
    /// Of those, goroutines proven not to have run since they were last read, so that their stack was not read again.
    pub proven: u64,
    /// Observations whose goroutine moved while it was read: the state counts, the stack does not.
    pub changed: u64,
    /// Observations whose stack was a mixture of two moments, which no calls can have made: the state counts, the stack does
    /// not.
    pub torn: u64,
    /// Observations whose stack could not be walked to its end.
    pub broken: u64,
    /// Reads of memory that was not mapped.
    pub unmapped: u64,
    /// Time whose place was not seen, given to places where the same goroutine (or its peers) was seen in the same state.
    pub spread_ns: u64,
    /// Time whose place is not known, under a frame that says so.
    pub unplaced_ns: u64,
    /// On-CPU samples received from the kernel.
    pub cpu_samples: u64,
    /// On-CPU samples that the kernel dropped.
    pub cpu_samples_lost: u64,
    /// Sum over ticks of goroutines that should have been observed × interval: what the samples must add up to.
    pub expected_ns: u64,
    /// Goroutines × ticks: how many observations there were to make. One tick of a goroutine that is known to have stood
    /// still is known without one.
    pub goroutine_ticks: u64,
    /// CPU time fgspy itself used, in nanoseconds.
    pub own_cpu_ns: u64,
    /// Of that, the time for the first look at all goroutines.
    pub first_look_ns: u64,
    /// How much CPU time it was to use, in parts of one core; without bound when absent.
    pub max_cpu: Option<f64>,
    /// Free-text remarks for the user: missing permissions and their consequence.
    pub remarks: Vec<String>,
}

impl Accounting {
    /// Observations whose stack was rejected, for whatever reason.
    pub fn rejected(&self) -> u64 {
        [self.changed, self.torn, self.broken, self.unmapped].into_iter().fold(0, u64::saturating_add)
    }

    /// Observations in all: goroutines of which a stack was read, or was not needed.
    pub fn observations(&self) -> u64 {
        self.accepted.saturating_add(self.rejected())
    }
}

/// A wall-clock profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// What was profiled.
    pub target: Target,
    /// Start, in nanoseconds since the Unix epoch.
    pub start_unix_ns: u64,
    /// Length in nanoseconds, measured.
    pub duration_ns: u64,
    /// How it came about.
    pub accounting: Accounting,
    /// Interned strings; 0 is the empty string.
    pub strings: Vec<String>,
    /// Functions.
    pub functions: Vec<Function>,
    /// Physical frames.
    pub locations: Vec<Location>,
    /// Stacks, leaf first.
    pub stacks: Vec<Vec<LocationId>>,
    /// Label sets, each sorted by key; 0 is the empty set.
    pub label_sets: Vec<Vec<(StringId, StringId)>>,
    /// The requests that were seen being served.
    pub requests: Vec<Request>,
    /// The samples; no two agree in everything but count and time.
    pub samples: Vec<Sample>,
    /// Their time once more, so that it can be told how sure it is.
    pub replicates: Replicates,
}
