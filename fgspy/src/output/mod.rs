//! Files that results are written to.

pub(crate) mod destination;
pub(crate) mod error;
mod place;
pub(crate) mod profile_file;
pub(crate) mod record_file;
