//! Profiles in the formats that people and programs read: flame graph, pprof, folded stacks, JSON, recording.
//!
//! Each format is a module with a `write` function; [`write()`] picks by [`Format`]. Nothing is computed here that is not
//! formatting: sums, trees and filters are in `fgspy-profile`.

pub mod folded;
mod format;
pub mod json;
pub mod perfetto;
pub mod pprof;
pub mod summary;
pub mod svg;
mod text;

pub use format::{Format, write};
