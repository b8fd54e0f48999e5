//! What a trap costs.

/// What a hit of a probe takes on the thread that hits it, before and after the program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrapCost {
    /// Nanoseconds at an instruction that the kernel emulates.
    pub emulated_ns: f64,
    /// The same at one that it has to step through.
    pub stepped_ns: f64,
}
