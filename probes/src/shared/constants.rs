//! Sizes, classes and the runtime's numbers.

use fgspy_gobin::layout::status;

use super::define::shared_constants;
use super::{Counter, Number, SiteKind};

shared_constants! {
    /// Classes of what a goroutine may be doing. [`RUNNING`], [`RUNNABLE`], [`SYSCALL`] and [`OTHER`] are fixed; the others are
    /// what [`crate::Plan::classes`] makes of the runtime's wait reasons.
    pub const CLASSES: usize = 16;
    /// The class of goroutines that run.
    pub const RUNNING: u8 = 0;
    /// The class of goroutines that are ready to run.
    pub const RUNNABLE: u8 = 1;
    /// The class of goroutines in a system call, or in C.
    pub const SYSCALL: u8 = 2;
    /// The class of what has no other.
    pub const OTHER: u8 = 3;

    /// Kinds of sites.
    pub(crate) const SITES: usize = SiteKind::ALL.len();
    /// The cookie of a site at which the program returns at once.
    pub(crate) const NOTHING: u64 = 0xff;

    /// The most frames of a stack that are sent.
    pub(crate) const FRAMES: usize = 64;
    /// The most bytes of a method that are read.
    pub(crate) const METHOD: usize = 16;
    /// The most bytes of a path that are read.
    pub(crate) const PATH: usize = 192;
    /// A method, a space and a path.
    pub(crate) const LINE: usize = METHOD + 1 + PATH;
    /// The most bytes of a route's pattern that are read.
    pub(crate) const ROUTE: usize = 96;
    /// Headers that may say which request it is.
    pub(crate) const HEADERS: usize = crate::HEADERS.len();
    /// The most bytes of a header's value that are read.
    pub(crate) const VALUE: usize = 64;
    /// Digits of a trace's id.
    pub(crate) const TRACE: usize = 32;
    /// Cells of the table of the automaton that chooses requests.
    pub(crate) const DFA_CELLS: usize = 1 << 16;

    /// Bytes of a request that are read at once.
    pub(crate) const REQUEST: u32 = 64;
    /// Bytes of the head of a map that are read at once.
    pub(crate) const MAP_HEAD: u32 = 32;
    /// Bytes of half a group of a map that are read at once: control bytes, then four keys with their values.
    pub(crate) const HALF_GROUP: u32 = 8 + 4 * 40;
    /// Bytes of half a bucket of a map that are read at once: hashes, then four keys.
    pub(crate) const HALF_BUCKET: u32 = 8 + 4 * 16;
    /// The offset of a field that the target does not have.
    pub(crate) const ABSENT: u32 = u32::MAX;

    /// A goroutine's status (`runtime/runtime2.go`, Go 1.17 to 1.27): just allocated.
    pub(crate) const G_IDLE: u32 = status::IDLE;
    /// On a run queue.
    pub(crate) const G_RUNNABLE: u32 = status::RUNNABLE;
    /// Running.
    pub(crate) const G_RUNNING: u32 = status::RUNNING;
    /// In a system call or in C.
    pub(crate) const G_SYSCALL: u32 = status::SYSCALL;
    /// Waiting.
    pub(crate) const G_WAITING: u32 = status::WAITING;
    /// Ended, or not used.
    pub(crate) const G_DEAD: u32 = status::DEAD;
    /// Its stack is being moved, by itself.
    pub(crate) const G_COPYSTACK: u32 = status::COPYSTACK;
    /// Stopped for its stack to be scanned.
    pub(crate) const G_PREEMPTED: u32 = status::PREEMPTED;
    /// The dead goroutine of a thread of C.
    pub(crate) const G_DEADEXTRA: u32 = status::DEADEXTRA;
    /// A flag on the others: its stack is being scanned.
    pub(crate) const G_SCAN: u32 = status::SCAN;

    /// Entries of the map `numbers`: one for each [`Number`].
    pub(crate) const NUMBERS: usize = Number::ALL.len();
    /// In the map `counts`, after the hits of each kind of site and the counters: hits that were timed, by kind of site.
    pub(crate) const TIMED: usize = SITES + Counter::ALL.len();
    /// Then nanoseconds that the program took for them, by kind of site.
    pub(crate) const TIMED_NS: usize = TIMED + SITES;
    /// Entries of the map `counts`.
    pub(crate) const COUNTS: usize = TIMED_NS + SITES;
}
