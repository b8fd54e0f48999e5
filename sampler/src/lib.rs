//! When and which goroutines to read, and what each reading stands for.
//!
//! [`record`] ticks at a steady rate. At each tick it takes what the kernel saw of the target's threads, reads every
//! goroutine once, and adds each observation with its weight: the measured time since the previous tick. [`profile`]
//! gives time without a stack its place ([`settle`]), looks program counters up and makes a
//! [`fgspy_profile::Profile`].

mod aggregate;
mod on_cpu;
mod profile;
mod record;
mod run;
mod settle;
mod target;
mod ticker;

pub use aggregate::{Aggregate, Labels, RawLabelsId, RawStack, RawStackId, Weight, Who};
pub use profile::{Sources, profile};
pub use record::{Ended, Options, Progress, Recording, Session, record};
pub use run::{open_on_cpu, record_profile, remarks};
pub use settle::{Settled, settle};
pub use target::{GoProcess, TargetError};
pub use ticker::{Stop, Tick, Ticker};
