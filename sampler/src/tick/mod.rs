//! When to look, and what is done at each look.

mod clock;
mod on_time;
mod runner;
mod ticker;

pub(crate) use clock::{Clock, Now};
pub(crate) use on_time::OnTime;
pub(crate) use runner::TickRunner;
pub use ticker::{Stop, Tick, Ticker};
