//! Whether the tables of a profile fit together.

use super::Error;
use crate::{Accounting, Location, Profile, Request, Sample, StringId};

/// Checks what [`super::read_limited`] promises.
pub(super) fn check(profile: &Profile, depth: u64) -> Result<(), Error> {
    if profile.strings.first().is_none_or(|first| !first.is_empty()) {
        return Err(Error::Inconsistent("string 0 is not the empty string".into()));
    }
    if profile.label_sets.first().is_none_or(|first| !first.is_empty()) {
        return Err(Error::Inconsistent("label set 0 is not the empty set".into()));
    }
    let Accounting { rate_hz, max_cpu, .. } = profile.accounting;
    if !rate_hz.is_finite() || max_cpu.is_some_and(|max| !max.is_finite()) {
        return Err(Error::Inconsistent("the rate or the budget is not a number".into()));
    }
    for (index, function) in profile.functions.iter().enumerate() {
        string(profile, "function", index, function.name)?;
        string(profile, "function", index, function.file)?;
    }
    for (index, found) in profile.locations.iter().enumerate() {
        if found.lines.is_empty() {
            return Err(Error::Inconsistent(format!("location {index} has no lines")));
        }
        for line in &found.lines {
            within("location", index, "function", line.function.index(), profile.functions.len())?;
        }
    }
    for (index, stack) in profile.stacks.iter().enumerate() {
        let mut frames = 0u64;
        for id in stack {
            within("stack", index, "location", id.index(), profile.locations.len())?;
            frames = frames.saturating_add(lines(profile.locations.get(id.index())));
        }
        if frames > depth {
            return Err(Error::Inconsistent(format!("stack {index} is {frames} frames deep, more than {depth}")));
        }
    }
    for (index, set) in profile.label_sets.iter().enumerate() {
        for &(key, value) in set {
            string(profile, "label set", index, key)?;
            string(profile, "label set", index, value)?;
        }
    }
    samples(profile)?;
    requests(profile)
}

fn samples(profile: &Profile) -> Result<(), Error> {
    let samples = profile.samples.iter().map(Sample::key).enumerate();
    let parts = profile.replicates.parts.iter().map(|part| part.key).enumerate();
    for (table, (index, key)) in samples.map(|key| ("sample", key)).chain(parts.map(|key| ("replicate", key))) {
        within(table, index, "stack", key.stack.index(), profile.stacks.len())?;
        within(table, index, "label set", key.labels.index(), profile.label_sets.len())?;
        if let Some(reason) = key.wait_reason {
            string(profile, table, index, reason)?;
        }
        if let Some(creator) = key.creator {
            within(table, index, "location", creator.index(), profile.locations.len())?;
        }
        if let Some(request) = key.serving.request() {
            within(table, index, "request", request.index(), profile.requests.len())?;
        }
    }
    Ok(())
}

fn requests(profile: &Profile) -> Result<(), Error> {
    for (index, request) in profile.requests.iter().enumerate() {
        let Request { method, path, pattern, route, trace_id, span_id, request_id, .. } = *request;
        for text in [method, path, pattern, route, trace_id, span_id, request_id] {
            string(profile, "request", index, text)?;
        }
        for reason in request.spans.iter().filter_map(|span| span.wait_reason) {
            string(profile, "request", index, reason)?;
        }
    }
    Ok(())
}

fn lines(location: Option<&Location>) -> u64 {
    location.map_or(0, |location| location.lines.len() as u64)
}

fn string(profile: &Profile, table: &str, entry: usize, id: StringId) -> Result<(), Error> {
    within(table, entry, "string", id.index(), profile.strings.len())
}

pub(super) fn within(table: &str, entry: usize, of: &str, index: usize, length: usize) -> Result<(), Error> {
    if index < length {
        Ok(())
    } else {
        Err(Error::Inconsistent(format!("{table} {entry} points to {of} {index}, but there are {length}")))
    }
}
