//! The messages of a trace for ui.perfetto.dev (package `perfetto.protos`), as far as `fgspy trace` writes them, field by field
//! as the files `trace.proto`, `trace_packet.proto`, `track_descriptor.proto`, `track_event.proto`, `debug_annotation.proto` and
//! `interned_data.proto` number them. See <https://perfetto.dev/docs/reference/trace-packet-proto>.
//!
//! A trace is one packet after the other, each with its length before it: it can be written piece by piece, and a file that ends
//! after any whole packet is a trace.

use prost::Message;

/// [`TracePacket::sequence_flags`]: what was interned before is forgotten.
pub const CLEARED: u32 = 1;
/// [`TracePacket::sequence_flags`]: the packet refers to what was interned.
pub const NEEDS_INTERNED: u32 = 2;
/// [`TrackEvent::kind`]: a slice begins.
pub const SLICE_BEGIN: i32 = 1;
/// [`TrackEvent::kind`]: the innermost slice that is open on the track ends.
pub const SLICE_END: i32 = 2;
/// [`TrackEvent::kind`]: a slice without length.
pub const INSTANT: i32 = 3;
/// [`TrackDescriptor::child_ordering`]: the children come in the order of their times.
pub const CHRONOLOGICAL: i32 = 2;
/// [`TrackDescriptor::child_ordering`]: the children come in the order of their [`TrackDescriptor::sibling_order_rank`].
pub const EXPLICIT: i32 = 3;

/// A trace, or a piece of one.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Trace {
    /// Its packets.
    #[prost(message, repeated, tag = "1")]
    pub packet: Vec<TracePacket>,
}

/// One piece of a trace: an event, a track, or what both refer to.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TracePacket {
    /// When, in nanoseconds. The packets need not be in the order of their times.
    #[prost(uint64, optional, tag = "8")]
    pub timestamp: Option<u64>,
    /// Who writes; what is interned is known to packets of the same writer. Never 0.
    #[prost(uint32, tag = "10")]
    pub trusted_packet_sequence_id: u32,
    /// [`CLEARED`] and [`NEEDS_INTERNED`].
    #[prost(uint32, tag = "13")]
    pub sequence_flags: u32,
    /// Texts that this packet and later ones refer to.
    #[prost(message, optional, tag = "12")]
    pub interned_data: Option<InternedData>,
    /// Something that happened.
    #[prost(message, optional, tag = "11")]
    pub track_event: Option<TrackEvent>,
    /// A track.
    #[prost(message, optional, tag = "60")]
    pub track_descriptor: Option<TrackDescriptor>,
}

impl TracePacket {
    /// Appends it to `out`, as it stands in a [`Trace`].
    pub fn append_to(&self, out: &mut Vec<u8>) {
        prost::encoding::message::encode(1, self, out);
    }
}

/// A line of the picture.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TrackDescriptor {
    /// Its number; never 0.
    #[prost(uint64, tag = "1")]
    pub uuid: u64,
    /// The track that it is shown below.
    #[prost(uint64, optional, tag = "5")]
    pub parent_uuid: Option<u64>,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The process that it stands for.
    #[prost(message, optional, tag = "3")]
    pub process: Option<ProcessDescriptor>,
    /// [`CHRONOLOGICAL`] or [`EXPLICIT`].
    #[prost(int32, optional, tag = "11")]
    pub child_ordering: Option<i32>,
    /// Its place among the children of its parent.
    #[prost(int32, optional, tag = "12")]
    pub sibling_order_rank: Option<i32>,
}

/// A process.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ProcessDescriptor {
    /// Its number.
    #[prost(int32, tag = "1")]
    pub pid: i32,
    /// Its name.
    #[prost(string, tag = "6")]
    pub process_name: String,
}

/// Something that happened on a track.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TrackEvent {
    /// [`SLICE_BEGIN`], [`SLICE_END`] or [`INSTANT`].
    #[prost(int32, tag = "9")]
    pub kind: i32,
    /// The track.
    #[prost(uint64, tag = "11")]
    pub track_uuid: u64,
    /// Its name, interned.
    #[prost(uint64, optional, tag = "10")]
    pub name_iid: Option<u64>,
    /// Its name, if it is not interned.
    #[prost(string, optional, tag = "23")]
    pub name: Option<String>,
    /// What else is known of it.
    #[prost(message, repeated, tag = "4")]
    pub debug_annotations: Vec<DebugAnnotation>,
    /// Arrows that begin here.
    #[prost(fixed64, repeated, packed = "false", tag = "47")]
    pub flow_ids: Vec<u64>,
    /// Arrows that end here.
    #[prost(fixed64, repeated, packed = "false", tag = "48")]
    pub terminating_flow_ids: Vec<u64>,
}

/// An argument of an event.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DebugAnnotation {
    /// Its name, interned.
    #[prost(uint64, tag = "1")]
    pub name_iid: u64,
    /// A number.
    #[prost(uint64, optional, tag = "3")]
    pub uint_value: Option<u64>,
    /// A text.
    #[prost(string, optional, tag = "6")]
    pub string_value: Option<String>,
    /// An interned text.
    #[prost(uint64, optional, tag = "17")]
    pub string_value_iid: Option<u64>,
}

/// Texts with numbers; each kind counts for itself, and from 1.
#[derive(Clone, PartialEq, prost::Message)]
pub struct InternedData {
    /// For [`TrackEvent::name_iid`].
    #[prost(message, repeated, tag = "2")]
    pub event_names: Vec<Name>,
    /// For [`DebugAnnotation::name_iid`].
    #[prost(message, repeated, tag = "3")]
    pub debug_annotation_names: Vec<Name>,
    /// For [`DebugAnnotation::string_value_iid`].
    #[prost(message, repeated, tag = "29")]
    pub debug_annotation_string_values: Vec<Text>,
}

/// A name with a number.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Name {
    /// The number.
    #[prost(uint64, tag = "1")]
    pub iid: u64,
    /// The name.
    #[prost(string, tag = "2")]
    pub name: String,
}

/// A text with a number.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Text {
    /// The number.
    #[prost(uint64, tag = "1")]
    pub iid: u64,
    /// The text, which is UTF-8.
    #[prost(bytes = "vec", tag = "2")]
    pub str: Vec<u8>,
}

/// The packets of a file, up to the first that is not whole.
pub fn packets(mut bytes: &[u8]) -> Vec<TracePacket> {
    let mut packets = Vec::new();
    while let Some(packet) = next(&mut bytes) {
        packets.push(packet);
    }
    packets
}

fn next(bytes: &mut &[u8]) -> Option<TracePacket> {
    /// Field 1, with a length before it.
    const PACKET: u8 = 1 << 3 | 2;
    let (&PACKET, mut rest) = bytes.split_first()? else { return None };
    let len = prost::decode_length_delimiter(rest).ok()?;
    rest = rest.get(prost::length_delimiter_len(len)..)?;
    let (packet, rest) = rest.split_at_checked(len)?;
    *bytes = rest;
    TracePacket::decode(packet).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(timestamp: u64) -> TracePacket {
        let event = TrackEvent { kind: INSTANT, flow_ids: vec![7, 8], name: Some("x".into()), ..TrackEvent::default() };
        TracePacket { timestamp: Some(timestamp), track_event: Some(event), ..TracePacket::default() }
    }

    #[test]
    fn a_file_is_read_up_to_its_last_whole_packet() {
        let mut file = Vec::new();
        let written: Vec<TracePacket> = (0..3).map(packet).collect();
        let mut ends = vec![0];
        for packet in &written {
            packet.append_to(&mut file);
            ends.push(file.len());
        }
        for len in 0..=file.len() {
            let whole = ends.iter().filter(|&&end| end <= len).count() - 1;
            assert_eq!(packets(&file[..len]), written[..whole], "{len} bytes");
        }
        assert_eq!(Trace::decode(&*file).unwrap().packet, written);
    }

    #[test]
    fn numbers_of_arrows_are_not_packed() {
        let mut file = Vec::new();
        packet(0).append_to(&mut file);
        // Field 47, eight bytes each: readers of this format know no other way.
        let tag = [0xf9, 0x02];
        assert_eq!(file.windows(2).filter(|bytes| *bytes == tag).count(), 2);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            packets(&bytes);
        }
    }
}
