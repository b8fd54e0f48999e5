//! Reads a recording that may have been made to do harm.

use std::io::{self, Read};

use flate2::read::GzDecoder;
use serde::de::DeserializeOwned;

use super::entries::{AccountingV1, AccountingV3, RequestEntry, RequestV3, SampleV1, SpanEntry};
use super::{Error, MAGIC, VERSION, check};
use crate::replicates::Replicates;
use crate::{Profile, Request, Sample};

/// How much of a recording to put up with.
///
/// An entry takes at most 170 bytes in memory and an element of an entry at most four times its bytes in the file, so the
/// default bounds the memory by about 5 GB; a recording that is not hostile takes a small part of that.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the unpacked body.
    pub bytes: u64,
    /// Entries of all tables together.
    pub entries: u64,
    /// Frames in one stack, inlined calls included.
    pub depth: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { bytes: 512 << 20, entries: 1 << 24, depth: 1 << 16 }
    }
}

/// Reads a recording with the default [`Limits`].
pub fn read(input: impl Read) -> Result<Profile, Error> {
    read_limited(input, Limits::default())
}

/// Reads a recording within `limits`.
///
/// All indices of the profile are in range, no location is without lines, string 0 is empty and label set 0 is the empty
/// set.
pub fn read_limited(mut input: impl Read, limits: Limits) -> Result<Profile, Error> {
    let mut header = [0; 8];
    let got = read_up_to(&mut input, &mut header)?;
    let [magic @ .., low, high] = header;
    if magic != MAGIC {
        let cut = got < MAGIC.len() && got > 0 && MAGIC.starts_with(header.get(..got).unwrap_or_default());
        return Err(if cut { Error::Truncated } else { Error::NotARecording });
    }
    if got < header.len() {
        return Err(Error::Truncated);
    }
    let found = u16::from_le_bytes([low, high]);
    if !(1..=VERSION).contains(&found) {
        return Err(Error::Version { found });
    }
    let body = unpack(input, limits.bytes)?;
    let mut body = Body { rest: &body, entries_left: limits.entries, limit: limits.entries };
    let (target, start_unix_ns, duration_ns) = body.take("head")?;
    let accounting = match found {
        1 => body.take::<AccountingV1>("head")?.into(),
        2 | 3 => body.take::<AccountingV3>("head")?.into(),
        _ => body.take("head")?,
    };
    let mut profile = Profile {
        target,
        start_unix_ns,
        duration_ns,
        accounting,
        strings: body.table("string")?,
        functions: body.table("function")?,
        locations: body.table("location")?,
        stacks: body.table("stack")?,
        label_sets: body.table("label set")?,
        samples: Vec::new(),
        requests: Vec::new(),
        replicates: Replicates::default(),
    };
    if found == 1 {
        profile.samples = body.table_of::<SampleV1, Sample>("sample")?;
    } else {
        profile.samples = body.table("sample")?;
        profile.requests = match found {
            2 | 3 => body.table_of::<RequestV3, Request>("request")?,
            _ => body.table_of::<RequestEntry, Request>("request")?,
        };
        spans(&mut profile.requests, body.table("span")?)?;
    }
    if found >= 3 {
        profile.replicates = Replicates { duration_ns: body.take("replicate")?, parts: body.table("replicate")? };
    }
    if !body.rest.is_empty() {
        return Err(Error::TrailingBytes(body.rest.len()));
    }
    check::check(&profile, limits.depth)?;
    Ok(profile)
}

/// Gives each request its spans.
fn spans(requests: &mut [Request], spans: Vec<SpanEntry>) -> Result<(), Error> {
    let count = requests.len();
    for (index, (request, span)) in spans.into_iter().enumerate() {
        match requests.get_mut(request as usize) {
            Some(request) => request.spans.push(span),
            None => check::within("span", index, "request", request as usize, count)?,
        }
    }
    Ok(())
}

fn read_up_to(input: &mut impl Read, mut buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while !buffer.is_empty() {
        match input.read(buffer) {
            Ok(0) => break,
            Ok(n) => {
                got += n;
                buffer = buffer.get_mut(n..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

fn unpack(input: impl Read, limit: u64) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    let gzip = GzDecoder::new(input);
    gzip.take(limit.saturating_add(1)).read_to_end(&mut body).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::Truncated,
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Error::Compression(error),
        _ => Error::Io(error),
    })?;
    if body.len() as u64 > limit { Err(Error::TooLarge { limit }) } else { Ok(body) }
}

/// What is left of the body.
struct Body<'a> {
    rest: &'a [u8],
    entries_left: u64,
    limit: u64,
}

impl Body<'_> {
    fn take<T: DeserializeOwned>(&mut self, part: &'static str) -> Result<T, Error> {
        let (value, rest) = postcard::take_from_bytes(self.rest).map_err(|source| Error::Encoding { part, source })?;
        self.rest = rest;
        Ok(value)
    }

    fn table<T: DeserializeOwned>(&mut self, table: &'static str) -> Result<Vec<T>, Error> {
        self.table_of::<T, T>(table)
    }

    /// A table whose entries stand otherwise in the file than in memory.
    fn table_of<E: DeserializeOwned, T: From<E>>(&mut self, table: &'static str) -> Result<Vec<T>, Error> {
        let found: u64 = self.take(table)?;
        let too_many = || Error::TooManyEntries { table, found, limit: self.limit };
        self.entries_left = self.entries_left.checked_sub(found).ok_or_else(too_many)?;
        // Every entry takes a byte at least, so a length beyond what is left is a lie and need not be allocated for.
        if found > self.rest.len() as u64 {
            return Err(Error::Encoding { part: table, source: postcard::Error::DeserializeUnexpectedEnd });
        }
        let mut entries = Vec::with_capacity(found as usize);
        for _ in 0..found {
            entries.push(T::from(self.take::<E>(table)?));
        }
        Ok(entries)
    }
}
