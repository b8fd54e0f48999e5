//! The threads of a process, and what they are called inside its PID namespace.

use rustc_hash::FxHashMap;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::procdir::ProcDir;
use crate::status::Status;

/// A thread, by both its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Thread {
    /// Its id in our PID namespace: what `perf_event_open` and `/proc` take.
    pub tid: u32,
    /// Its id in the target's own PID namespace: what `gettid` returns in it, and so what a runtime knows (Go's
    /// `m.procid`, set in `minit`, runtime/os_linux.go).
    pub ns_tid: u32,
}

/// The threads that were there when last looked.
#[derive(Debug)]
pub(crate) struct ThreadList {
    /// Both names of the threads last seen; unused where they are the same.
    known: FxHashMap<u32, u32>,
    /// The process lives in a PID namespace inside ours.
    nested: bool,
}

impl ThreadList {
    /// For the process whose ids, from our PID namespace inwards, are `ns_pids`. All threads of a process share a PID
    /// namespace (clone(2): `CLONE_THREAD` cannot be combined with leaving it).
    pub(crate) fn new(pid: u32, ns_pids: &[u32]) -> Self {
        ThreadList { known: FxHashMap::from_iter([(pid, *ns_pids.last().unwrap_or(&pid))]), nested: ns_pids.len() > 1 }
    }

    /// Looks again. A thread that exits while we look is left out.
    ///
    /// Should an id have been given up and taken again by another thread of the same process since the last look, the
    /// old inner name stays; ids are given out in turn, so that takes a whole round of them (`kernel.pid_max`).
    pub(crate) fn refresh(&mut self, dir: &ProcDir) -> Result<Vec<Thread>, Errno> {
        let ids = dir.task_ids()?;
        if !self.nested {
            return Ok(ids.into_iter().map(|tid| Thread { tid, ns_tid: tid }).collect());
        }
        let inner = |tid: u32| -> Option<u32> {
            let text = dir.read(&format!("task/{tid}/status"), 64 << 10).ok()?;
            Status::parse(&text)?.ns_pid.last().copied()
        };
        let both = |tid| Some(Thread { tid, ns_tid: self.known.get(&tid).copied().or_else(|| inner(tid))? });
        let threads: Vec<Thread> = ids.into_iter().filter_map(both).collect();
        self.known = threads.iter().map(|thread| (thread.tid, thread.ns_tid)).collect();
        Ok(threads)
    }
}
