//! When and which goroutines to read, and what each reading stands for.
//!
//! [`record`] ticks at a steady rate. At each tick it takes what the kernel saw of the target's threads, chooses whom to
//! read (as many as the budget allows), and credits each goroutine that moved with the time it stood still before;
//! what was drawn by lot counts for what was not. [`profile`] gives time without a stack its place ([`settle`]), looks
//! program counters up and makes a [`fgspy_profile::Profile`].

mod aggregate;
mod balance;
mod budget;
mod choose;
mod corrections;
mod foreign;
mod growth;
mod ledger;
mod live;
mod modules;
mod near;
mod on_cpu;
mod profile;
mod punctual;
mod record;
mod replay;
mod replicates;
mod requests;
mod round;
mod run;
mod samples;
mod settle;
mod slots;
mod tally;
mod target;
mod ticker;
mod variances;
mod watch;
mod whereabouts;

pub use aggregate::{Cell, CellId, Labels, RawLabelsId, RawStack, RawStackId, Reach};
pub use choose::Reading;
pub use foreign::Foreign;
pub use live::{Live, LiveTime};
pub use profile::{Sources, profile};
pub use record::{DEFAULT_MAX_MEMORY, Ended, Options, Progress, Recording, Session, record};
pub use replay::replay;
pub use requests::{RawSpan, Seen};
pub use run::{open_on_cpu, record_profile, remarks};
pub use samples::Samples;
pub use settle::{Settled, settle};
pub use tally::{InProgress, MAX_IN_PROGRESS, RouteTally, Tally};
pub use target::{GoProcess, RuntimeName, TargetError};
pub use ticker::{Stop, Tick, Ticker};
