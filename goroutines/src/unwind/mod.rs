//! From a saved context and the bytes of a stack to program counters.
//!
//! Two ways, each exact where the other is not (measured against the runtime's own dump, see ARCHITECTURE.md):
//!
//! - [`frame_pointer`] needs no tables and is right for every ordinary parked goroutine;
//! - [`sp_delta`] reads the pclntab's tables and is right for system calls before Go 1.23, C callbacks and goroutines that
//!   were interrupted in the middle of a frameless function.

mod frame_pointer;
mod plan;
mod sp_delta;
mod special;
mod stack;

pub use plan::{Context, Unwinder};
pub use special::SpecialFunctions;
pub use stack::{Bounds, StackBytes};

/// Frames kept of one stack. Go's own dump stops at 100, fgprof at 32; a runaway recursion has millions.
pub const MAX_FRAMES: usize = 1024;

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At the bottom of the goroutine's stack.
    Bottom,
    /// The stack has more than [`MAX_FRAMES`] frames; those nearest the leaf are kept.
    TooDeep,
    /// The bytes up to this address are needed to go on.
    NeedsBytes {
        /// One past the last byte needed.
        up_to: u64,
    },
    /// What was read is no stack: torn, or not Go's.
    Broken,
}
