//! From exact events to state times: of goroutines, requests and routes.
//!
//! [`plan`] says where to put probes in a Go program and what the kernel must know of its memory; [`pattern`] makes a
//! filter that the kernel runs of what the user asked for; [`Trace`] takes the events and answers where the time went, with
//! durations that were measured, not sampled. Nothing here does any I/O.

mod carried;
mod class;
mod dfa;
mod distribution;
mod earlier;
mod model;
pub mod pattern;
mod plan;
mod unset;

pub use class::{class, number};
pub use dfa::TooLarge;
pub use distribution::Distribution;
pub use earlier::{Earlier, EarlierRequest};
pub use model::{Limits, OneRequest, Place, Route, Step, Trace};
pub use plan::{classes, offsets, plan, trap_ns};
pub use unset::unset;
