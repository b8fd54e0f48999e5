//! What a recording begins with.

/// The first bytes of a recording.
pub const MAGIC: [u8; 6] = *b"fgspy\0";

/// The format version that [`super::write()`] writes. [`super::read()`] reads it and all before it.
pub const VERSION: u16 = 4;
