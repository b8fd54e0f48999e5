//! The goroutines in a Go program's memory.
//!
//! [`attach`] finds the runtime in a memory (a live process or a recorded snapshot), tests that its layout is understood,
//! and gives a [`Runtime`]. A [`Reader`] then reads goroutines, and believes only what did not move while it was read; an
//! [`ActiveFinder`] says which of them run or want to. [`symbolize`] turns program counters into source lines.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use fgspy_goroutines::{GoProcess, census};
//!
//! let GoProcess { runtime, memory, .. } = GoProcess::open(4711)?;
//! for goroutine in census(&runtime, &memory)? {
//!     let doing = runtime.doing(goroutine.status, goroutine.g.wait_reason);
//!     println!("{} [{doing}]: {} frames", goroutine.g.goid, goroutine.stack.pcs().len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`GoProcess`] opens a process and finds its runtime; `examples/dump.rs` is a program of it.
//!
//! This crate does not decide when or which goroutines to read, and holds no I/O of its own but for opening
//! processes: everything else goes through [`fgspy_memory::Memory`]. What it reads may be torn, stale or hostile; nothing in it panics on any content.

mod active;
mod allgs;
mod attach;
mod batch;
mod bytes;
mod census;
mod chain;
mod copies;
mod error;
mod fingerprint;
mod gstruct;
mod label_shape;
pub mod labels;
mod layout;
mod list;
mod maps;
mod process;
mod reader;
pub mod request;
mod runtime;
mod scheduler;
mod self_test;
mod status;
mod strings;
pub mod symbolize;
pub mod thread_stack;
mod unwind;

pub use active::{Active, ActiveFinder};
pub use allgs::AllGs;
pub use attach::{attach, attach_by_measuring};
pub use census::{Frames, Goroutine, census};
pub use chain::{Chains, Fit};
pub use error::AttachError;
pub use fingerprint::Fingerprint;
pub use gstruct::G;
pub use list::GoroutineList;
pub use process::{GoProcess, PluginWatch, RuntimeName, TargetError};
pub use reader::{Look, Observation, Reader, Sight, Sink, Stack, Wanted};
pub use request::{Request, RequestOptions, Served};
pub use runtime::{Owner, Runtime, Trust};
pub use scheduler::Scheduler;
pub use status::Status;
pub use unwind::{Bounds, Context, End, MAX_FRAMES, SpecialFunctions, StackBytes, Unwinder};
