//! From what was read of some goroutines to the time of all of them, and how sure that is.

mod aggregate;
mod balance;
mod cells;
mod corrections;
mod replicates;
mod samples;
mod variances;

pub(crate) use aggregate::Aggregate;
pub(crate) use balance::{Balance, balance};
pub use cells::{Cell, CellId, Labels, RawLabelsId, RawStack, RawStackId, Reach};
pub(crate) use cells::{Estimate, Hasher, OnCpuPlace, RouteId, Whose};
pub(crate) use corrections::Corrections;
pub(crate) use replicates::Replicates;
pub use samples::Samples;
pub(crate) use samples::{Moves, correct};
pub(crate) use variances::{PassedOver, variances};
