//! When and which goroutines to read, and what each reading stands for.
//!
//! The folders are the way of the data:
//!
//! - `tick`: when to look ([`Ticker`]), and what is done at each look.
//! - `choose`: which goroutines are read at a tick, as many as the budget allows, and with what probability.
//! - `on_cpu`: what the kernel saw of the target's threads since the last tick.
//! - `observe`: a goroutine that moved is credited with the time since it moved last, in the place where it was.
//! - `requests`: which request that time belongs to.
//! - `estimate`: what was read of some stands for all; and how sure that is.
//! - `finish`: time without a stack is given its place ([`settle`](settle())), program counters are looked up, and all becomes a
//!   [`fgspy_profile::Profile`].
//!
//! [`record`](record()) is the loop over all of them but the last.

mod choose;
mod describe;
mod estimate;
mod finish;
mod foreign;
mod held;
mod live;
mod observe;
mod on_cpu;
mod options;
mod record;
mod replay;
mod requests;
mod run;
mod tally;
mod tick;

pub use choose::Reading;
pub use describe::describe;
pub use estimate::Samples;
pub use estimate::{Cell, CellId, Labels, RawLabelsId, RawStack, RawStackId, Reach};
pub use finish::{Settled, settle};
pub use finish::{Sources, profile};
pub use foreign::Foreign;
pub use live::{Live, LiveTime};
pub use options::{DEFAULT_MAX_MEMORY, Ended, Options, Progress, Session};
pub use record::{Recording, record};
pub use replay::replay;
pub use requests::{RawSpan, Seen};
pub use run::{open_on_cpu, record_profile, remarks};
pub use tally::{InProgress, MAX_IN_PROGRESS, RouteTally, Tally};
pub use tick::{Stop, Tick, Ticker};
