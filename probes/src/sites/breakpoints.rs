//! Whether probes that were set are in the code that a process runs.

use crate::sites::Site;
use fgspy_goroutines::Runtime;
use fgspy_memory::{Memory, ReadError};

/// The sites at which a process still has the instruction of its executable's file, in `memory`, although probes were set
/// there: the kernel puts them into mappings of that file only. Code that was copied elsewhere has none, as that of
/// programs that move it to huge pages.
///
/// What cannot be read is taken to be as it should.
///
/// # Errors
/// When nothing at all can be read from the target any more.
pub fn without_breakpoint<'a>(
    runtime: &Runtime,
    memory: &dyn Memory,
    sites: &'a [Site],
) -> Result<Vec<&'a Site>, ReadError> {
    let mut unset = Vec::new();
    for site in sites {
        let Some(original) = runtime.binary.read_vaddr(site.vaddr, 1) else { continue };
        let mut there = [0];
        let is_read = memory.read_into(site.vaddr.wrapping_add(runtime.bias), &mut there)?;
        if is_read && original.first() == Some(&there[0]) {
            unset.push(site);
        }
    }
    Ok(unset)
}
