//! Memory of a target: a live process, or a recorded snapshot of one (under construction).

mod read;

pub use read::{Memory, Range, ReadError};
