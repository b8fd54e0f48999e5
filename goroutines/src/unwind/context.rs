//! What the runtime keeps of a goroutine that is not running.

/// A saved context of a goroutine that is not running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Program counter: a return address, or the entry of a function that has not started yet.
    pub pc: u64,
    /// Stack pointer.
    pub sp: u64,
    /// Frame pointer; `None` where the runtime saves none that belongs to `pc`.
    pub fp: Option<u64>,
    /// Return address of a function that has not spilled it yet (arm64); `None` where the runtime saves none.
    pub link: Option<u64>,
}
