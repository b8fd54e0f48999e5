//! Writes a recording, entry by entry, so that it is never in memory a second time.

use std::io::{self, BufWriter, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use super::entries::{RequestEntry, SpanEntry};
use super::{MAGIC, VERSION};
use crate::Profile;

/// Writes a recording of `profile`.
pub fn write(profile: &Profile, mut out: impl Write) -> io::Result<()> {
    out.write_all(&MAGIC)?;
    out.write_all(&VERSION.to_le_bytes())?;
    let mut body = BufWriter::with_capacity(1 << 16, GzEncoder::new(out, Compression::default()));
    let head = (&profile.target, profile.start_unix_ns, profile.duration_ns, &profile.accounting);
    put(&mut body, &head)?;
    table(&mut body, &profile.strings)?;
    table(&mut body, &profile.functions)?;
    table(&mut body, &profile.locations)?;
    table(&mut body, &profile.stacks)?;
    table(&mut body, &profile.label_sets)?;
    table(&mut body, &profile.samples)?;
    put(&mut body, &(profile.requests.len() as u64))?;
    profile.requests.iter().try_for_each(|request| put(&mut body, &RequestEntry::from(request)))?;
    let spans = profile.requests.iter().map(|request| request.spans.len() as u64).sum::<u64>();
    put(&mut body, &spans)?;
    for (index, request) in profile.requests.iter().enumerate() {
        request.spans.iter().try_for_each(|&span| put(&mut body, &SpanEntry::from((index as u32, span))))?;
    }
    put(&mut body, &profile.replicates.duration_ns)?;
    table(&mut body, &profile.replicates.parts)?;
    let gzip = body.into_inner().map_err(io::IntoInnerError::into_error)?;
    gzip.finish()?.flush()
}

fn table<T: Serialize>(out: &mut impl Write, entries: &[T]) -> io::Result<()> {
    put(out, &(entries.len() as u64))?;
    entries.iter().try_for_each(|entry| put(out, entry))
}

/// Encodes into a small buffer first: postcard reports a failed write without its cause, and a full disk must say so.
fn put(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let bytes = postcard::to_stdvec(value).map_err(io::Error::other)?;
    out.write_all(&bytes)
}
