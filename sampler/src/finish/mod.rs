//! When the recording is over: a place for all time, names for all places, and a profile.

mod likeness;
mod placement;
mod profile;

pub(crate) use likeness::{Near, Nears};
pub use placement::{Settled, settle};
pub use profile::{Sources, profile};
