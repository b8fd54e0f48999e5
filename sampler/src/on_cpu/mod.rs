//! What the kernel saw on the CPUs: samples, and the accounts of threads.

mod interval;
mod ledger;
mod stack_growth;
mod whereabouts;

pub(crate) use interval::{Interval, Named, mend, thread_sample};
pub(crate) use ledger::{Ledger, Place, Sight};
pub(crate) use stack_growth::{Growing, Growth};
pub(crate) use whereabouts::Whereabouts;
