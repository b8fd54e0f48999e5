//! What is written while the trace goes on: it may not fit into memory, and must not be lost if fgspy is killed.

use fgspy_probes::{Event, OneRequest};

use super::json_lines;
use super::perfetto::Recorder;
use crate::output::record_file::RecordFile;

/// Where single events and requests go.
pub(super) enum Stream<'a> {
    /// The format has none.
    None,
    /// A line for each request.
    Json(RecordFile),
    /// Every change of state.
    Perfetto(Box<Recorder<'a>>),
}

impl Stream<'_> {
    /// Writes an event.
    pub(super) fn event(&mut self, event: &Event) {
        if let Stream::Perfetto(recorder) = self {
            recorder.event(event);
        }
    }

    /// A request is over.
    pub(super) fn request(&mut self, one: &OneRequest) {
        match self {
            Stream::None => {}
            Stream::Json(out) => out.record(|out| json_lines::request(one, out)),
            Stream::Perfetto(recorder) => recorder.request(one),
        }
    }

    /// All events were taken that came before goroutines were first looked at.
    pub(super) fn has_caught_up(&mut self) {
        if let Stream::Perfetto(recorder) = self {
            recorder.has_caught_up();
        }
    }

    /// Writes states that have lasted long, at `now_ns` of `CLOCK_MONOTONIC`.
    pub(super) fn write_long(&mut self, now_ns: u64) {
        if let Stream::Perfetto(recorder) = self {
            recorder.write_long(now_ns);
        }
    }

    /// Writes what was taken until now.
    pub(super) fn flush(&mut self) {
        match self {
            Stream::None => {}
            Stream::Json(out) => out.flush(),
            Stream::Perfetto(recorder) => recorder.flush(),
        }
    }

    /// The file, if there is one.
    pub(super) fn out(&self) -> Option<&RecordFile> {
        match self {
            Stream::None => None,
            Stream::Json(out) => Some(out),
            Stream::Perfetto(recorder) => Some(recorder.out()),
        }
    }

    /// Entries that were left out because there were too many.
    pub(super) fn dropped(&self) -> u64 {
        match self {
            Stream::Perfetto(recorder) => recorder.dropped(),
            Stream::None | Stream::Json(_) => 0,
        }
    }
}
