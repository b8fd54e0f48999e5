//! Reading goroutines together with those that started them.

use std::collections::HashSet;

use fgspy_memory::{Memory, Range, ReadError};

use super::{Look, Reader, Wanted};
use crate::request::{Child, ChildCounts, Kinship, Parent, Parentage};
use crate::{Runtime, bytes};

/// Of so many g's at most it is looked up whether one is that of a parent.
const MAX_SEARCHED: usize = 1 << 12;

impl Reader {
    /// Finds out for which requests goroutines were started, in their order: reads them and their parents. Nothing where the
    /// reader was not made by [`Reader::with_requests`].
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub fn parentage(
        &mut self,
        runtime: &Runtime,
        memory: &dyn Memory,
        children: &[Child],
    ) -> Result<Vec<Parentage>, ReadError> {
        let Some(finder) = &mut self.requests else { return Ok(Vec::new()) };
        finder.next_turn();
        self.gathered.clear();
        let parents = children.iter().filter_map(|child| Some(child.parent?.index));
        self.gather(runtime, memory, parents.chain(children.iter().map(|child| child.index)))?;
        let mut children = children.to_vec();
        self.find_parents(runtime, memory, &mut children)?;
        self.suppose_parents(runtime, memory, &mut children)?;
        let Some(finder) = &mut self.requests else { return Ok(Vec::new()) };
        finder.parentage((runtime, memory), &self.all, &children, &self.gathered)
    }

    /// Looks among all goroutines for those that started the children whose parents are not known.
    fn find_parents(
        &mut self,
        runtime: &Runtime,
        memory: &dyn Memory,
        children: &mut [Child],
    ) -> Result<(), ReadError> {
        let orphans = children.iter_mut().filter(|child| child.parent.is_none() && child.started_by != 0);
        let mut orphans: Vec<&mut Child> = orphans.collect();
        if orphans.is_empty() || self.all.len() > MAX_SEARCHED {
            return Ok(());
        }
        let goid = u64::from(runtime.layout.g.goid);
        let addresses = (0..self.all.len() as u32).map(|index| self.all.address(index).unwrap_or(0));
        self.ranges.clear();
        self.ranges.extend(addresses.map(|address| Range { addr: address.wrapping_add(goid), len: 8 }));
        memory.read_ranges(&self.ranges, &mut self.buf, &mut self.got)?;
        let mut found = Vec::new();
        for (index, goid) in (0u32..).zip(bytes::words(&self.buf)) {
            for orphan in orphans.iter_mut().filter(|orphan| orphan.started_by == goid) {
                orphan.parent = Some(Parent { index, goid, kinship: Kinship::Direct });
                found.push(index);
            }
        }
        self.gather(runtime, memory, found.into_iter())?;
        // The number stays in a g when its goroutine has ended.
        for orphan in orphans {
            let is_there = |parent: &Parent| {
                self.gathered.get(&parent.index).is_some_and(|gathered| gathered.g.goid == parent.goid)
            };
            orphan.parent = orphan.parent.filter(is_there);
        }
        Ok(())
    }

    /// Gives children whose parents are not known to those that serve a request of which they have something.
    fn suppose_parents(
        &mut self,
        runtime: &Runtime,
        memory: &dyn Memory,
        children: &mut [Child],
    ) -> Result<(), ReadError> {
        let orphans = children.iter_mut().filter(|child| child.parent.is_none());
        let (mut orphans, read): (Vec<&mut Child>, Vec<_>) =
            orphans.filter_map(|child| self.gathered.get(&child.index).map(|read| (child, read))).unzip();
        let Some(finder) = self.requests.as_mut().filter(|_| !read.is_empty()) else { return Ok(()) };
        let parents = finder.suppose((runtime, memory), &read)?;
        for (child, parent) in orphans.iter_mut().zip(&parents) {
            child.parent = *parent;
        }
        self.gather(runtime, memory, parents.into_iter().flatten().map(|parent| parent.index))
    }

    /// Reads goroutines, unless they have been, and keeps their live words.
    fn gather(
        &mut self,
        runtime: &Runtime,
        memory: &dyn Memory,
        indices: impl Iterator<Item = u32>,
    ) -> Result<(), ReadError> {
        let mut seen: HashSet<u32> = self.gathered.keys().copied().collect();
        let wanted = indices.filter(|index| seen.insert(*index));
        let wanted: Vec<Wanted> = wanted.map(|index| Wanted { index, look: Look::Stack }).collect();
        self.gathers = true;
        let read = self.read(runtime, memory, &wanted, &mut |_, _| {});
        self.gathers = false;
        read
    }

    /// What proved for which requests goroutines were started, since this reader was made.
    pub fn child_counts(&self) -> ChildCounts {
        self.requests.as_ref().map(|finder| finder.child_counts()).unwrap_or_default()
    }
}
