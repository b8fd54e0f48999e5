//! The Go function table, "pclntab": functions, names, files, lines and stack sizes by code address.
//!
//! Written by the linker (`cmd/link/internal/ld/pcln.go`), read by the runtime (`runtime/symtab.go`). It survives
//! stripping, because tracebacks and the garbage collector need it.

mod func;
mod header;
mod inline;
mod pcvalue;
mod table;

pub use func::{Func, FuncFlags};
pub use header::PclntabVersion;

pub(crate) use func::Identity;
pub(crate) use header::{HEADER_SIZE, Header, LARGEST_TABLE, magic_is_older};
pub(crate) use inline::InlinedCall;
pub(crate) use pcvalue::Fuel;
pub(crate) use table::Pclntab;
