//! The runtime's list of all g's (`runtime.allgs`), and where in it an address is.

use fgspy_memory::{Memory, Range, ReadError};

use crate::{Runtime, bytes};

/// The longest list that is believed.
const MAX_GOROUTINES: u64 = 16 << 20;

/// Addresses of all g's that the runtime has ever made, dead ones included.
///
/// The list only grows, and a g once on it stays where it is (`runtime/proc.go`, `allgadd`): the index of a g is its name
/// for as long as the program runs.
#[derive(Debug, Default)]
pub struct AllGs {
    addresses: Vec<u64>,
    /// Indices in order of address, in runs, each less than half as long as the one before it: what is new is sorted
    /// alone, and an index is merged only about as often as the list doubles.
    runs: Vec<Vec<u32>>,
}

impl AllGs {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Whether none has been read yet.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// The address of g number `index`.
    pub fn address(&self, index: u32) -> Option<u64> {
        self.addresses.get(index as usize).copied()
    }

    /// The number of the g at `address`, if there is one.
    pub fn find(&self, address: u64) -> Option<u32> {
        self.runs.iter().find_map(|run| {
            let at = run.binary_search_by_key(&Some(address), |&index| self.address(index)).ok()?;
            run.get(at).copied()
        })
    }

    /// The numbers of all g's in a few runs, each in order of address: neighbours in a run are neighbours in memory.
    pub fn runs(&self) -> impl Iterator<Item = &[u32]> {
        self.runs.iter().map(Vec::as_slice)
    }

    /// Reads what was added to the list up to `len`, which was read from the target before.
    pub(crate) fn refresh(&mut self, runtime: &Runtime, memory: &dyn Memory, len: u64) -> Result<(), ReadError> {
        // The runtime publishes a new array before its new length: read in the opposite order, the length always fits.
        let known = self.addresses.len();
        if len <= known as u64 || len > MAX_GOROUTINES {
            return Ok(());
        }
        let Some(array) = memory.read_u64(runtime.list.ptr)? else { return Ok(()) };
        let range = Range { addr: array.wrapping_add(known as u64 * 8), len: (len as usize - known) * 8 };
        let (mut buf, mut got) = (Vec::new(), Vec::new());
        memory.read_ranges(&[range], &mut buf, &mut got)?;
        if got.first() == Some(&range.len) {
            self.extend(bytes::words(&buf));
        }
        Ok(())
    }

    fn extend(&mut self, added: impl Iterator<Item = u64>) {
        let first = self.addresses.len() as u32;
        self.addresses.extend(added);
        let mut run: Vec<u32> = (first..self.addresses.len() as u32).collect();
        run.sort_unstable_by_key(|&index| self.address(index));
        while let Some(before) = self.runs.pop_if(|before| before.len() / 2 <= run.len()) {
            run.extend(before);
            // Two sorted runs, which this sort merges.
            run.sort_by_key(|&index| self.address(index));
        }
        self.runs.push(run);
    }
}

/// A list of these addresses, as the runtime's would be.
impl FromIterator<u64> for AllGs {
    fn from_iter<T: IntoIterator<Item = u64>>(addresses: T) -> AllGs {
        let mut all = AllGs::default();
        all.extend(addresses.into_iter());
        all
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_address_is_found_whatever_the_order_of_growth(parts in prop::collection::vec(prop::collection::hash_set(any::<u64>(), 1..40), 1..20)) {
            let mut all = AllGs::default();
            for part in &parts {
                all.extend(part.iter().copied());
            }
            for index in 0..all.len() as u32 {
                let address = all.address(index).unwrap();
                prop_assert_eq!(all.find(address).and_then(|found| all.address(found)), Some(address));
            }
            prop_assert!(all.runs.len() <= 10, "{} runs", all.runs.len());
            let mut seen: Vec<u32> = all.runs().flatten().copied().collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..all.len() as u32).collect::<Vec<_>>());
            for run in all.runs() {
                prop_assert!(run.is_sorted_by_key(|&index| all.address(index)));
            }
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let mut all = AllGs::default();
        assert_eq!(all.find(8), None);
        all.extend([8, 24].into_iter());
        assert_eq!((all.find(8), all.find(16), all.find(24)), (Some(0), None, Some(1)));
    }
}
