//! Which goroutines are read at a tick, and with what probability.

mod budget;
mod chooser;

pub(crate) use budget::{Budget, FEWEST, Spent};
pub use chooser::Reading;
pub(crate) use chooser::{CERTAIN, Choice, Chooser, Odds};
