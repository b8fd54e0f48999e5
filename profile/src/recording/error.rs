//! What can be wrong with a recording.

use super::format::VERSION;

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
        /// [`super::Limits::bytes`].
        limit: u64,
    },
    /// The tables together are longer than allowed.
    #[error("the recording has more than the {limit} table entries that are allowed: the {table} table says {found}")]
    TooManyEntries {
        /// The table that goes beyond the limit.
        table: &'static str,
        /// Its length as the file says.
        found: u64,
        /// [`super::Limits::entries`].
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
