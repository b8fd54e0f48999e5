//! The Go function table, "pclntab": functions, names, files, lines and stack sizes by code address.
//!
//! Written by the linker (`cmd/link/internal/ld/pcln.go`), read by the runtime (`runtime/symtab.go`). It survives
//! stripping, because tracebacks and the garbage collector need it.
//!
//! Function offsets count from the start of the text. The linker can split the text into several sections with gaps
//! between them (`moduledata.textsectmap`), but does so only for 32-bit ARM, PPC64 and darwin/arm64
//! (`splitTextSections` in `cmd/link/internal/ld/data.go`, Go 1.17 to 1.27), so there is always one here.

mod func;
mod header;
mod inline;
mod live;
mod pcvalue;
mod table;

pub use func::{Func, FuncFlags};
pub use header::PclntabVersion;
pub use live::LiveSlots;

pub(crate) use func::Identity;
pub(crate) use header::{HEADER_SIZE, Header, LARGEST_TABLE, magic_is_older};
pub(crate) use inline::InlinedCall;
pub(crate) use pcvalue::Fuel;
pub(crate) use table::Pclntab;
