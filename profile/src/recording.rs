//! The recording file (`.fgspy`): a profile as it was taken, to be filtered, merged and pictured later.
//!
//! # Layout
//!
//! | bytes | content |
//! |---|---|
//! | 6 | the magic `fgspy` and a zero byte |
//! | 2 | format version, little endian: [`VERSION`] |
//! | rest | gzip of the body |
//!
//! The body is in [postcard](https://postcard.jamesmunns.com/wire-format)'s wire format: target, start, duration and
//! accounting, then the tables strings, functions, locations, stacks, label sets, samples, requests, spans (each with the
//! index of its request) and times by replicate (after the durations of the replicates), each its length followed by its
//! entries. Version 3 had neither a count of torn stacks nor the looks that bound a request; version 2 ended with the spans; version 1
//! with the samples, of whose requests nothing is known.
//!
//! A recording may come from anybody. Reading checks every length before it allocates and every index before it is used,
//! so that nothing that takes a [`crate::Profile`] has to.

mod check;
mod entries;
mod reader;
mod writer;

pub use reader::{Limits, read, read_limited};
pub use writer::write;

/// The first bytes of a recording.
pub const MAGIC: [u8; 6] = *b"fgspy\0";

/// The format version that [`write()`] writes. [`read()`] reads it and all before it.
pub const VERSION: u16 = 4;

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("the recording cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// The magic is missing.
    #[error("this is not an fgspy recording: it does not start with \"fgspy\\0\"")]
    NotARecording,
    /// A format version that is not known.
    #[error(
        "the recording has format version {found}, this fgspy reads versions 1 to {VERSION}: use the fgspy that made it"
    )]
    Version {
        /// The version in the file.
        found: u16,
    },
    /// The file ends too early.
    #[error("the recording is cut short: it was not written to its end, or copied only in part")]
    Truncated,
    /// The gzip stream is damaged.
    #[error("the recording is damaged: {0}")]
    Compression(std::io::Error),
    /// The body is larger than allowed.
    #[error("the recording unpacks to more than the {limit} bytes that are allowed")]
    TooLarge {
        /// [`Limits::bytes`].
        limit: u64,
    },
    /// The tables together are longer than allowed.
    #[error("the recording has more than the {limit} table entries that are allowed: the {table} table says {found}")]
    TooManyEntries {
        /// The table that goes beyond the limit.
        table: &'static str,
        /// Its length as the file says.
        found: u64,
        /// [`Limits::entries`].
        limit: u64,
    },
    /// Bytes that are not what they should be.
    #[error("the recording is damaged in its {part}: {source}")]
    Encoding {
        /// What was being read.
        part: &'static str,
        /// What postcard says.
        source: postcard::Error,
    },
    /// Something follows the last table.
    #[error("the recording is damaged: {0} bytes follow its last table")]
    TrailingBytes(usize),
    /// The tables are readable but do not fit together.
    #[error("the recording contradicts itself: {0}")]
    Inconsistent(String),
}
