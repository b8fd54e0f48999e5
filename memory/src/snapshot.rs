//! A recorded picture of a process: replays what was read of it, without the process.

use std::borrow::Cow;
use std::sync::Arc;

use fgspy_gobin::Source;
use serde::{Deserialize, Serialize};

use crate::format::{self, SnapshotError};
use crate::image::Image;
use crate::process::Process;
use crate::read::{Memory, Range, ReadError, batch_bytes};
use crate::recorder::Tape;
use crate::threads::Thread;

/// What a snapshot knows about its process apart from its memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The process id, in the recorder's PID namespace.
    pub pid: u32,
    /// The process id in its own PID namespace.
    pub ns_pid: u32,
    /// The path of the executable as the process saw it. Bytes that are not UTF-8 are replaced.
    pub exe_path: String,
    /// The arguments, the program's name first.
    pub command_line: Vec<String>,
    /// Where the executable was loaded ([`LoadBias::bias`](crate::LoadBias::bias)), if that could be found out.
    pub load_bias: Option<u64>,
    /// The threads at the time of recording.
    pub threads: Vec<Thread>,
    /// The machine, in Rust's names: `x86_64`, `aarch64`.
    pub arch: String,
}

impl Facts {
    /// Asks a live process. What it does not tell (it may just have exited) stays empty.
    pub fn of(process: &Process) -> Facts {
        Facts {
            pid: process.pid(),
            ns_pid: process.ns_pid(),
            exe_path: process.exe_path().to_string_lossy().into_owned(),
            command_line: process.command_line().to_vec(),
            load_bias: process.load_bias().ok().map(|found| found.bias),
            threads: process.threads().unwrap_or_default(),
            arch: std::env::consts::ARCH.to_owned(),
        }
    }
}

/// A recorded picture of a process. Cheap to clone.
///
/// As a [`Memory`] it gives the recorded bytes; addresses that were not recorded read as unmapped, and it never fails
/// for any other reason. [`exe`](Snapshot::exe) gives the recorded parts of the executable file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot(Arc<Parts>);

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) facts: Facts,
    pub(crate) memory: Image,
    pub(crate) exe_len: u64,
    pub(crate) exe: Image,
}

/// The executable file of a [`Snapshot`], as far as it was read when recording. Elsewhere reads fail.
#[derive(Clone, Debug)]
pub struct SnapshotExe(Arc<Parts>);

impl Snapshot {
    /// Puts together what was recorded: of the memory, and of the executable file (`exe_len` bytes long).
    pub fn new(facts: Facts, memory: &Tape, exe: &Tape, exe_len: u64) -> Snapshot {
        Snapshot::from_parts(Parts { facts, memory: memory.image(), exe_len, exe: exe.image() })
    }

    pub(crate) fn from_parts(parts: Parts) -> Snapshot {
        Snapshot(Arc::new(parts))
    }

    /// Reads a snapshot file that unpacks to at most 2.25 GiB, which is as much as can be recorded.
    ///
    /// The file may come from anybody: whatever it claims, memory is used only for what it really holds.
    pub fn load(bytes: &[u8]) -> Result<Snapshot, SnapshotError> {
        Snapshot::load_within(bytes, format::MAX_UNPACKED)
    }

    /// Like [`load`](Snapshot::load), with another limit in bytes: a packed file of hostile contents can be a thousand
    /// times smaller than what it unpacks to.
    pub fn load_within(bytes: &[u8], limit: u64) -> Result<Snapshot, SnapshotError> {
        format::load(bytes, limit).map(Snapshot::from_parts)
    }

    /// The contents of a snapshot file.
    pub fn to_bytes(&self) -> Result<Vec<u8>, SnapshotError> {
        format::save(&self.0)
    }

    /// What is known about the process.
    pub fn facts(&self) -> &Facts {
        &self.0.facts
    }

    /// The recorded parts of the executable file.
    pub fn exe(&self) -> SnapshotExe {
        SnapshotExe(Arc::clone(&self.0))
    }

    /// How many bytes of memory are recorded.
    pub fn recorded_bytes(&self) -> usize {
        self.0.memory.bytes().len()
    }

    /// The recorded ranges of memory, by ascending address; between any two something is missing.
    pub fn recorded_ranges(&self) -> impl Iterator<Item = Range> {
        self.0.memory.extents().map(|(addr, bytes)| Range { addr, len: bytes.len() })
    }
}

impl Memory for Snapshot {
    fn read_ranges(&self, ranges: &[Range], buf: &mut Vec<u8>, got: &mut Vec<usize>) -> Result<(), ReadError> {
        let total = batch_bytes(ranges)?;
        buf.clear();
        buf.reserve(total);
        got.clear();
        for range in ranges {
            let end = buf.len() + range.len;
            let found = self.0.memory.read(range.addr, range.len);
            buf.extend_from_slice(found);
            buf.resize(end, 0);
            got.push(found.len());
        }
        Ok(())
    }
}

impl Source for SnapshotExe {
    fn len(&self) -> u64 {
        self.0.exe_len
    }

    fn read(&self, offset: u64, len: usize) -> Option<Cow<'_, [u8]>> {
        let found = self.0.exe.read(offset, len);
        (found.len() == len && offset.checked_add(len as u64)? <= self.0.exe_len).then_some(Cow::Borrowed(found))
    }
}
