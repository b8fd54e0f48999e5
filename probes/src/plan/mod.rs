//! What to trace.

mod target;
mod trap;

pub use target::{classes, offsets, plan, trap_ns};
pub use trap::TrapCost;

use std::path::PathBuf;

use crate::SiteKind;
use crate::shared::constants::DFA_CELLS;

/// A process, where its probes go, and what they should tell.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The process, by its number in this process's PID namespace.
    pub pid: u32,
    /// Its executable, as it can be opened: `/proc/PID/exe`.
    pub exe: PathBuf,
    /// The probes to set.
    pub probes: Vec<Probe>,
    /// Where things are in the target's memory.
    pub offsets: Offsets,
    /// The class of each wait reason of the runtime, by its number; below [`crate::CLASSES`].
    pub classes: [u8; 256],
    /// Wait reasons that the runtime writes late, or not where it can be read.
    pub reasons: Reasons,
    /// What to tell.
    pub options: Options,
}

/// The runtime's numbers of some wait reasons; [`Reasons::UNKNOWN`] where it has no such.
#[derive(Clone, Copy, Debug)]
pub struct Reasons {
    /// Of a coroutine that has let another one run: `coroutine`.
    pub coroutine: u8,
    /// Of a goroutine that was stopped for its stack to be scanned: `preempted`.
    pub preempted: u8,
}

impl Reasons {
    /// No reason that a runtime has.
    pub const UNKNOWN: u8 = u8::MAX;
}

/// A probe to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Probe {
    /// What is there.
    pub kind: SiteKind,
    /// Where its instruction is in the executable's file.
    pub file_offset: u64,
}

/// What to tell of what happens.
#[derive(Clone, Debug)]
pub struct Options {
    /// Follow the states of goroutines. Without it, requests begin and end and nothing is known of what is between.
    pub states: bool,
    /// Send every transition ([`crate::Event::Transition`]).
    pub transitions: bool,
    /// Send each wait that lasted as long as this, in nanoseconds, with its stack ([`crate::Event::Blocked`]).
    pub block_threshold_ns: Option<u64>,
    /// Only requests that match, and the goroutines at work for them.
    pub filter: Option<Filter>,
    /// Read the headers that say which request it is ([`crate::HEADERS`]), of HTTP/1, only of requests that are slow
    /// ([`crate::Tracer::set_slow`]), when they end: HTTP/2 of Go 1.27 on does not keep them until then. Without effect where
    /// states are followed, which costs much more, and where the filter is a trace.
    pub ids_of_slow: bool,
    /// Bytes of the ring; a power of two, at least 4096.
    pub ring_bytes: u32,
    /// Goroutines that are known at a time.
    pub max_goroutines: u32,
    /// Set the probes and take no notice of their hits: to measure what the traps alone take from the target.
    pub traps_only: bool,
}

impl Default for Options {
    /// States, no single transitions, no stacks, all requests.
    fn default() -> Options {
        Options {
            states: true,
            transitions: false,
            block_threshold_ns: None,
            filter: None,
            ids_of_slow: false,
            ring_bytes: 16 << 20,
            max_goroutines: 1 << 17,
            traps_only: false,
        }
    }
}

impl Options {
    pub(super) fn reads_ids_of_slow(&self) -> bool {
        let by_trace = self.filter.as_ref().is_some_and(|filter| filter.trace.is_some());
        self.ids_of_slow && !self.states && !by_trace
    }
}

/// Which requests to tell of. What is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Those whose `METHOD path` it accepts.
    pub dfa: Option<Dfa>,
    /// Those that name this trace in a header: lower-case hexadecimal, its first 1 to 32 digits.
    pub trace: Option<String>,
}

/// A deterministic finite automaton over bytes.
///
/// Cell `state * classes + class` of the table is the next state. Class `classes - 1` is the end of the text: its cell is 1
/// if a text that ends in this state is accepted, else 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dfa {
    /// The class of each byte.
    pub class_of: [u8; 256],
    /// Number of classes, that of the end included.
    pub classes: u16,
    /// The state to begin in.
    pub start: u16,
    /// The table; at most [`Dfa::MAX_CELLS`] cells.
    pub table: Vec<u16>,
}

impl Dfa {
    /// The most cells that a table may have.
    pub const MAX_CELLS: usize = DFA_CELLS;

    /// What the kernel's program makes of a text of at most 16 bytes, a space and at most 192 bytes.
    pub fn accepts(&self, text: &[u8]) -> bool {
        let cell = |state: u16, class: u16| {
            self.table.get(usize::from(state) * usize::from(self.classes) + usize::from(class)).copied().unwrap_or(0)
        };
        let end = text.iter().fold(self.start, |state, &byte| cell(state, self.class_of[usize::from(byte)].into()));
        cell(end, self.classes.saturating_sub(1)) == 1
    }
}

/// Where things are in the target's memory, in bytes from the start of the structure named.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names are those of the runtime's and net/http's fields")]
pub struct Offsets {
    pub g_stack_lo: u32,
    pub g_stack_hi: u32,
    pub g_m: u32,
    pub g_sched_pc: u32,
    pub g_sched_bp: u32,
    pub g_goid: u32,
    pub g_parent: Option<u32>,
    pub g_waitreason: u32,
    pub g_startpc: u32,
    pub m_curg: u32,
    pub request_method: u32,
    pub request_url: u32,
    pub url_path: u32,
    pub request_header: u32,
    pub request_major: u32,
    pub request_pattern: Option<u32>,
    /// The request that HTTP/2 makes before it becomes one of `net/http`.
    pub inner: InnerRequest,
    /// How maps are laid out.
    pub maps: Maps,
}

/// Where things are in a `net/http/internal/http2.ServerRequest`, Go 1.27 on; nothing is looked for where there is none.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "the names are those of its fields")]
pub struct InnerRequest {
    pub method: u32,
    pub url: u32,
    pub header: u32,
}

/// How the map of a request's headers is laid out (see `gobin::layout`).
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names are those of the runtime's fields")]
pub enum Maps {
    /// Buckets, up to Go 1.23.
    Buckets { b: u32, buckets: u32, bucket_size: u32, values: u32, least_tophash: u32 },
    /// Tables of groups, Go 1.24 on.
    Tables { dir_ptr: u32, dir_len: u32, groups: u32, mask: u32 },
}
