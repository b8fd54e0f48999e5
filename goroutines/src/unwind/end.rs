//! How far a walk goes, and how it ends.

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
