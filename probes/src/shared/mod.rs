//! What the BPF program and fgspy share: constants, kinds, and the structures that one writes and the other reads.
//!
//! Each is defined once, here. The C header `probes/bpf/shared.h` is generated from these definitions ([`c_header`]). It states
//! the size of each structure and the offset of each field in Rust, which the C compiler checks.

mod bytes;
mod config;
pub(crate) mod constants;
mod define;
mod header;
mod kinds;
pub(crate) mod records;
pub(crate) mod tables;

pub(crate) use bytes::Shared;
pub(crate) use config::{Config, are_within_blocks};
pub use header::c_header;
pub(crate) use kinds::{Counter, MapLayout, Number, RecordKind};
pub use kinds::{EndReason, SiteKind};
