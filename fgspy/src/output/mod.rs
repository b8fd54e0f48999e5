//! Files that results are written to.

pub(crate) mod profile_file;
pub(crate) mod record_file;
pub(crate) mod report_file;
