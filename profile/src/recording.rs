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
mod error;
mod format;
mod reader;
mod writer;

pub use error::Error;
pub use format::{MAGIC, VERSION};
pub use reader::{Limits, read, read_limited};
pub use writer::write;
