//! Memory of a target: a live process, or a recorded snapshot of one (under construction).

mod read;

pub use read::{MAX_BATCH_BYTES, Memory, Range, ReadError};
