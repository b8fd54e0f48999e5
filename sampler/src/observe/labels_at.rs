//! Where the labels of goroutines were when they were last read.

use std::collections::HashMap;

/// Goroutines whose labels' addresses are remembered.
pub(super) const MAX_LABELLED: usize = 1 << 16;

/// Where the labels of goroutines were when they were last read, by the number of their g.
#[derive(Debug, Default)]
pub(super) struct LabelsAt(pub(super) HashMap<u32, (u64, u64)>);

impl LabelsAt {
    /// Goroutine `goid` was found to have its labels at an address, or none (0).
    pub(super) fn set(&mut self, index: u32, goid: u64, address: u64) {
        if address == 0 {
            if !self.0.is_empty() {
                self.0.remove(&index);
            }
        } else {
            if self.0.len() >= MAX_LABELLED {
                self.0.clear();
            }
            self.0.insert(index, (goid, address));
        }
    }

    pub(super) fn get(&self, index: u32, goid: u64) -> u64 {
        self.0.get(&index).filter(|(of, _)| *of == goid).map_or(0, |(_, address)| *address)
    }
}
