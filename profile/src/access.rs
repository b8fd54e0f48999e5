//! Reading a profile without a thought for its indices.
//!
//! [`crate::Builder`] and [`crate::recording::read`] make only profiles whose indices are all in range. A profile put
//! together by hand may break that; then these answer with an empty string or nothing rather than panic.

use crate::{
    Function, FunctionId, LabelSetId, LocationId, Profile, Request, RequestId, Sample, StackId, State, StringId,
};

/// One call of a stack. Calls that were inlined have frames of their own, with the address of the frame they are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The physical frame.
    pub location: LocationId,
    /// Address in the target; 0 for a frame that is not code.
    pub address: u64,
    /// The function.
    pub function: FunctionId,
    /// Full name of the function.
    pub name: &'a str,
    /// Source file; empty when unknown.
    pub file: &'a str,
    /// Line of the `func` keyword; 0 when unknown.
    pub start_line: u32,
    /// Line that was being executed or called from; 0 when unknown.
    pub line: u32,
    /// Whether the compiler inlined this call into the frame that follows it towards the root.
    pub inlined: bool,
}

impl Profile {
    /// A string of the table.
    pub fn string(&self, id: StringId) -> &str {
        self.strings.get(id.index()).map_or("", String::as_str)
    }

    /// The frames of a stack, leaf first; `.rev()` gives them root first.
    pub fn frames(&self, stack: StackId) -> impl DoubleEndedIterator<Item = Frame<'_>> {
        let locations = self.stacks.get(stack.index()).map_or(&[][..], Vec::as_slice);
        locations.iter().flat_map(|&location| self.location_frames(location))
    }

    /// The frames of one location, innermost first: the calls inlined into it, then the function itself.
    pub fn location_frames(&self, location: LocationId) -> impl DoubleEndedIterator<Item = Frame<'_>> {
        let (address, lines) = match self.locations.get(location.index()) {
            Some(found) => (found.address, found.lines.as_slice()),
            None => (0, &[][..]),
        };
        let last = lines.len().saturating_sub(1);
        lines.iter().enumerate().map(move |(index, line)| {
            let function = self.functions.get(line.function.index()).copied().unwrap_or(NO_FUNCTION);
            Frame {
                location,
                address,
                function: line.function,
                name: self.string(function.name),
                file: self.string(function.file),
                start_line: function.start_line,
                line: line.line,
                inlined: index < last,
            }
        })
    }

    /// A request of the table.
    pub fn request(&self, id: RequestId) -> Option<&Request> {
        self.requests.get(id.index())
    }

    /// The request that a sample's goroutine served.
    pub fn request_of(&self, sample: &Sample) -> Option<&Request> {
        sample.serving.request().and_then(|id| self.request(id))
    }

    /// The labels of a set as keys and values, sorted by key.
    pub fn labels(&self, set: LabelSetId) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.label_sets.get(set.index()).map_or(&[][..], Vec::as_slice);
        pairs.iter().map(|&(key, value)| (self.string(key), self.string(value)))
    }

    /// The runtime's own word for what a sample's goroutine waited for; empty when it did not wait or nothing is known.
    pub fn wait_reason(&self, sample: &Sample) -> &str {
        match (sample.state, sample.wait_reason) {
            (State::Waiting, Some(reason)) => self.string(reason),
            _ => "",
        }
    }

    /// What a sample's goroutine was doing in the fewest words: the wait reason if there is one, else the state.
    pub fn activity(&self, sample: &Sample) -> &str {
        match self.wait_reason(sample) {
            "" => sample.state.word(),
            reason => reason,
        }
    }
}

/// Stands in for a function that is not in the table.
const NO_FUNCTION: Function = Function { name: StringId(u32::MAX), file: StringId(u32::MAX), start_line: 0 };
