//! Reading goroutines together with those that started them.

use fgspy_memory::{Memory, ReadError};

use super::{Look, Reader, Wanted};
use crate::Runtime;
use crate::request::{Child, ChildCounts, Parentage};

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
        // Parents first: what a child has is compared with what its parent served shortly before, and serves still.
        let mut indices: Vec<u32> = children.iter().map(|child| child.parent).collect();
        indices.extend(children.iter().map(|child| child.index));
        let mut seen = std::collections::HashSet::new();
        indices.retain(|index| seen.insert(*index));
        let wanted: Vec<Wanted> = indices.into_iter().map(|index| Wanted { index, look: Look::Stack }).collect();
        self.gathers = true;
        self.gathered.clear();
        let read = self.read(runtime, memory, &wanted, &mut |_, _| {});
        self.gathers = false;
        read?;
        let Some(finder) = &mut self.requests else { return Ok(Vec::new()) };
        finder.parentage((runtime, memory), &self.all, children, &self.gathered)
    }

    /// What proved for which requests goroutines were started, since this reader was made.
    pub fn child_counts(&self) -> ChildCounts {
        self.requests.as_ref().map(|finder| finder.child_counts()).unwrap_or_default()
    }
}
