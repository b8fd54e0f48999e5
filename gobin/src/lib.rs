//! What a Go executable says about itself.
//!
//! [`GoBinary`] reads an ELF executable through a [`Source`] and answers questions about it without symbols or debug
//! information: which Go built it, which function, file and line an address belongs to (with inlined calls), how large a
//! stack frame is, and where the runtime's own tables are. It does no I/O, has no `unsafe` code, and treats the file as
//! hostile: every read is checked and every loop and allocation is limited.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let binary = fgspy_gobin::GoBinary::parse(Box::new(std::fs::read("checkout")?))?;
//! let mut frames = Vec::new();
//! binary.source_frames(0x47_e2a0, &mut frames);
//! for frame in frames {
//!     println!("{} {}:{}", frame.function, frame.file, frame.line);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `examples/addr2line.rs` is a program of it.
//!
//! Go 1.17 to 1.27 on linux/amd64 and linux/arm64. Newer releases are read by the rules of 1.27.

pub mod anchors;
mod arch;
mod binary;
mod buildinfo;
mod bytes;
pub mod calibrate;
mod calls;
mod detect;
mod elf;
mod error;
mod frames;
mod image;
mod insn;
pub mod layout;
mod module;
mod notes;
mod pclntab;
mod plugins;
mod relocs;
#[cfg(test)]
mod snippets;
mod source;
mod symtab;
mod version;

pub use arch::Arch;
pub use binary::GoBinary;
pub use buildinfo::BuildInfo;
pub use calls::{Call, TailJumps};
pub use elf::Segment;
pub use error::Error;
pub use frames::{SourceFrame, printed_name};
pub use module::ModuleData;
pub use pclntab::{Func, FuncFlags, LiveSlots, PclntabVersion};
pub use source::Source;
pub use symtab::Symbol;
pub use version::GoVersion;
