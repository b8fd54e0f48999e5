//! Memory of a target, and what else can be known about it from outside: a live process, or a recorded snapshot of one.
//!
//! [`Memory`] is the one trait through which everything above reads. Behind it stand [`Live`], a running process read in
//! batches by `process_vm_readv`, and [`Snapshot`], which replays what a [`Recorder`] has seen. [`Process`] finds and
//! names a live one: its executable, threads, namespaces, memory map and load bias, and what has become of it.
//!
//! What this crate promises:
//! - **It only reads.** No ptrace, no signal, no write, nothing that stops or changes the target.
//! - **It never mixes up processes.** A [`Process`] stays with the process, and its memory with the address space, that
//!   it was opened on; after an exit, an exec or the reuse of an id, reads fail instead of giving another's bytes.
//! - **What the target says is bounded.** Addresses and lengths may be any, files in `/proc` and snapshots may be
//!   damaged or hostile: nothing panics, and memory use has limits, stated where they apply.
//! - **Reading allocates nothing** once its buffers have grown.
//!
//! It knows nothing about Go, decides nothing about when or what to read, and does not unwind or symbolise.
//!
//! ```no_run
//! use fgspy_memory::{Memory, Process, Range};
//!
//! let process = Process::open(4711)?;
//! let (mut buf, mut got) = (Vec::new(), Vec::new());
//! let ranges = [Range { addr: 0xc000_0000_0000, len: 64 }, Range { addr: 0xc000_0000_2000, len: 8 }];
//! process.memory().read_ranges(&ranges, &mut buf, &mut got)?;
//! println!("{} and {} bytes arrived", got[0], got[1]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod allowance;
mod auxv;
mod bias;
mod cgroup;
mod cpu;
mod denial;
mod elf;
mod exe;
mod format;
mod held;
mod image;
mod libraries;
mod live;
mod maps;
mod namespaces;
mod open;
mod procdir;
mod process;
mod read;
mod recorder;
mod snapshot;
mod space;
mod sparse;
mod stat;
mod status;
mod sys;
mod text;
mod threads;
mod under_way;

pub use allowance::Allowance;
pub use bias::{BiasError, BiasSource, LoadBias};
pub use cpu::{SchedTimes, own_cpu_time, own_thread_cpu_time};
pub use denial::Denial;
pub use exe::ExeFile;
pub use format::SnapshotError;
pub use held::{Held, Holder};
pub use libraries::Library;
pub use live::Live;
pub use maps::Mapping;
pub use namespaces::Namespaces;
pub use open::OpenError;
pub use process::{Fate, ProcError, Process};
pub use read::{MAX_BATCH_BYTES, Memory, Range, ReadError};
pub use recorder::{Recorder, Tape};
pub use snapshot::{Facts, Snapshot, SnapshotExe};
pub use stat::TaskState;
pub use threads::Thread;
pub use under_way::read_under_way;
