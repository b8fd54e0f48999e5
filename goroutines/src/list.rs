//! Where the list of all goroutines is.

/// Where the runtime keeps its list of all g's, in the target's address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoroutineList {
    /// Address of the list's length (`runtime.allglen`).
    pub len: u64,
    /// Address of the address of its array of g's (`runtime.allgptr`).
    pub ptr: u64,
}
