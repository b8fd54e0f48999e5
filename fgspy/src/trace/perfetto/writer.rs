//! Packets of a trace for Perfetto: tracks, and slices and instants on them.

use fgspy_export::perfetto::{
    CHRONOLOGICAL, CLEARED, DebugAnnotation, EXPLICIT, NEEDS_INTERNED, ProcessDescriptor, SLICE_BEGIN, SLICE_END,
    TracePacket, TrackDescriptor, TrackEvent,
};
use fgspy_goroutines::GoProcess;

use super::interned::{self, Argument};
use crate::exit::Failure;
use crate::output::record_file::RecordFile;
use crate::terminal::escape::clean;

/// The id of the sequence of packets: there is one writer.
const SEQUENCE: u32 = 1;

/// Numbers of tracks: their lowest bits say what they stand for.
const PROCESS: u64 = 4;
const REQUESTS: u64 = 8;
pub(super) const GOROUTINES: u64 = 12;

pub(super) const fn track_of_goroutine(goid: u64) -> u64 {
    goid << 2 | 2
}

pub(super) const fn track_of_request(number: u64) -> u64 {
    number << 2 | 1
}

/// Writes packets to the file.
pub(super) struct Writer {
    out: RecordFile,
}

impl Writer {
    /// Writes the packets that every trace begins with.
    pub(super) fn new(target: &GoProcess, out: RecordFile) -> Writer {
        let mut writer = Writer { out };
        let pid = i32::try_from(target.process.pid()).unwrap_or_default();
        let process = ProcessDescriptor { pid, process_name: clean(&fgspy_sampler::describe(target).executable) };
        writer.packet(TracePacket {
            sequence_flags: CLEARED,
            interned_data: Some(interned::always(target)),
            track_descriptor: Some(TrackDescriptor {
                uuid: PROCESS,
                process: Some(process),
                ..TrackDescriptor::default()
            }),
            ..TracePacket::default()
        });
        for (uuid, name, order) in [(REQUESTS, "requests", CHRONOLOGICAL), (GOROUTINES, "goroutines", EXPLICIT)] {
            let parent_uuid = Some(PROCESS);
            writer.track(TrackDescriptor {
                uuid,
                parent_uuid,
                name: name.to_owned(),
                child_ordering: Some(order),
                ..TrackDescriptor::default()
            });
        }
        writer
    }

    /// The file, and whether it can be written.
    pub(super) fn out(&self) -> &RecordFile {
        &self.out
    }

    /// Writes what is buffered.
    pub(super) fn flush(&mut self) {
        self.out.flush();
    }

    /// Completes the file.
    pub(super) fn finish(self) -> Result<(), Failure> {
        self.out.finish()
    }

    /// Writes the track of a request, and the beginning of its slice.
    pub(super) fn begin_request(&mut self, uuid: u64, time_ns: u64, name: &str, goid: u64, more: Vec<DebugAnnotation>) {
        self.track(TrackDescriptor {
            uuid,
            parent_uuid: Some(REQUESTS),
            name: "request".to_owned(),
            ..TrackDescriptor::default()
        });
        let mut debug_annotations = vec![Argument::Goroutine.number(goid)];
        debug_annotations.extend(more);
        let event = TrackEvent {
            kind: SLICE_BEGIN,
            track_uuid: uuid,
            name: Some(clean(name)),
            debug_annotations,
            ..TrackEvent::default()
        };
        self.at(time_ns, event);
    }

    /// Ends the slice that is open on a track.
    pub(super) fn end(&mut self, track_uuid: u64, time_ns: u64, debug_annotations: Vec<DebugAnnotation>) {
        self.at(time_ns, TrackEvent { kind: SLICE_END, track_uuid, debug_annotations, ..TrackEvent::default() });
    }

    /// Writes a track.
    pub(super) fn track(&mut self, descriptor: TrackDescriptor) {
        self.packet(TracePacket { track_descriptor: Some(descriptor), ..TracePacket::default() });
    }

    /// Writes an event with its time.
    pub(super) fn at(&mut self, time_ns: u64, event: TrackEvent) {
        self.packet(TracePacket {
            timestamp: Some(time_ns),
            sequence_flags: NEEDS_INTERNED,
            track_event: Some(event),
            ..TracePacket::default()
        });
    }

    /// Writes a packet.
    pub(super) fn packet(&mut self, packet: TracePacket) {
        let packet = TracePacket { trusted_packet_sequence_id: SEQUENCE, ..packet };
        self.out.record(|out| packet.append_to(out));
    }
}
