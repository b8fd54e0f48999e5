//! From a saved context and the bytes of a stack to program counters.
//!
//! Two ways, each exact where the other is not (measured against the runtime's own dump, see docs/unwinding.md):
//!
//! - [`frame_pointer`] needs no tables and is right for every ordinary parked goroutine;
//! - [`sp_delta`] reads the pclntab's tables and is right for system calls before Go 1.23, C callbacks and goroutines that
//!   were interrupted in the middle of a frameless function.

mod context;
mod end;
mod frame_pointer;
mod plan;
mod sp_delta;
mod special;
mod stack;

pub use context::Context;
pub use end::{End, MAX_FRAMES};
pub use plan::Unwinder;
pub use special::SpecialFunctions;
pub use stack::{Bounds, StackBytes};
