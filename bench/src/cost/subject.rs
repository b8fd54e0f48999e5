//! What is measured, and how thoroughly.

use std::path::PathBuf;

use fgspy_fixtures::Toolchain;

/// What the parts need.
pub(super) struct Bench {
    pub(super) fgspy: PathBuf,
    pub(super) newest: Toolchain,
    pub(super) oldest: Toolchain,
    pub(super) quick: bool,
    pub(super) runs: Option<u32>,
    pub(super) sizes: Vec<u32>,
    /// What is said about fgspy.
    pub(super) version: String,
}

/// The minor version of the oldest Go that has what issue 31 needs.
pub(super) const OLDEST: u32 = 19;

impl Bench {
    /// How many rounds of runs there are to be.
    pub(super) fn rounds(&self, otherwise: usize) -> usize {
        self.runs.map_or(otherwise, |runs| runs as usize)
    }
}
