//! Reads a Perfetto trace as ui.perfetto.dev does: packets sorted by time, texts by their numbers, slices that nest.

use std::collections::{BTreeMap, HashMap};

use fgspy_export::perfetto::{
    CLEARED, InternedData, NEEDS_INTERNED, SLICE_BEGIN, SLICE_END, TracePacket, TrackDescriptor, packets,
};

/// A slice; one without length is an instant.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    pub(crate) name: String,
    pub(crate) from: u64,
    /// `None`: it did not end.
    pub(crate) to: Option<u64>,
    pub(crate) arguments: BTreeMap<String, String>,
    pub(crate) arrows_from: Vec<u64>,
    pub(crate) arrows_to: Vec<u64>,
}

/// A track, and what is on it.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) name: String,
    pub(crate) parent: Option<u64>,
    pub(crate) slices: Vec<Slice>,
}

/// A trace.
#[derive(Debug)]
pub(crate) struct Picture {
    pub(crate) tracks: BTreeMap<u64, Track>,
}

/// What is interned, by kind and number.
#[derive(Default)]
struct Interned {
    names: HashMap<u64, String>,
    arguments: HashMap<u64, String>,
    texts: HashMap<u64, String>,
}

impl Interned {
    fn add(&mut self, data: InternedData) {
        self.names.extend(data.event_names.into_iter().map(|name| (name.iid, name.name)));
        self.arguments.extend(data.debug_annotation_names.into_iter().map(|name| (name.iid, name.name)));
        let texts = data.debug_annotation_string_values.into_iter();
        self.texts.extend(texts.map(|text| (text.iid, String::from_utf8(text.str).unwrap())));
    }
}

struct Happened {
    time: u64,
    track: u64,
    kind: i32,
    slice: Slice,
}

impl Picture {
    /// Reads a file. Its last packet may be cut off.
    pub(crate) fn read(bytes: &[u8]) -> Picture {
        let (mut tracks, mut interned, mut events) = (BTreeMap::new(), Interned::default(), Vec::new());
        for packet in packets(bytes) {
            assert_eq!(packet.trusted_packet_sequence_id, 1);
            if packet.sequence_flags & CLEARED != 0 {
                interned = Interned::default();
            }
            let TracePacket { timestamp, interned_data, track_event, track_descriptor, sequence_flags, .. } = packet;
            interned_data.into_iter().for_each(|data| interned.add(data));
            if let Some(TrackDescriptor { uuid, parent_uuid, name, .. }) = track_descriptor {
                let track = Track { name, parent: parent_uuid, slices: Vec::new() };
                assert!(tracks.insert(uuid, track).is_none(), "track {uuid} is there twice");
            }
            let Some(event) = track_event else { continue };
            assert!(sequence_flags & NEEDS_INTERNED != 0 && event.track_uuid != 0);
            let name = event.name.or_else(|| interned.names.get(&event.name_iid?).cloned());
            let arguments = event.debug_annotations.into_iter().map(|argument| {
                let number = argument.uint_value.map(|number| number.to_string());
                let text = argument.string_value.or(number);
                let text = text.unwrap_or_else(|| interned.texts[&argument.string_value_iid.unwrap()].clone());
                (interned.arguments[&argument.name_iid].clone(), text)
            });
            let time = timestamp.unwrap();
            let slice = Slice {
                name: name.unwrap_or_default(),
                from: time,
                to: None,
                arguments: arguments.collect(),
                arrows_from: event.flow_ids,
                arrows_to: event.terminating_flow_ids,
            };
            events.push(Happened { time, track: event.track_uuid, kind: event.kind, slice });
        }
        // What is of the same time stays in the order of the file.
        events.sort_by_key(|event| event.time);
        let mut picture = Picture { tracks };
        events.into_iter().for_each(|event| picture.add(event));
        picture
    }

    fn add(&mut self, event: Happened) {
        let Happened { time, track: uuid, kind, slice } = event;
        let track = self.tracks.get_mut(&uuid).unwrap_or_else(|| panic!("track {uuid} is not described"));
        // The instants in it do not stay open.
        let open = track.slices.iter_mut().rev().find(|slice| slice.to.is_none());
        match (kind, open) {
            (SLICE_BEGIN, Some(open)) => panic!("{slice:?} begins before {open:?} has ended on {}", track.name),
            (SLICE_BEGIN, None) => track.slices.push(slice),
            (SLICE_END, None) => panic!("what ends at {time} on {} had not begun", track.name),
            (SLICE_END, Some(open)) => {
                open.to = Some(time);
                open.arguments.extend(slice.arguments);
            }
            _ => track.slices.push(Slice { to: Some(time), ..slice }),
        }
    }

    /// The tracks below the one of this name.
    pub(crate) fn below<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Track> {
        let mut found = self.tracks.iter().filter(|(_, track)| track.name == name);
        let parent = found.next().map(|(uuid, _)| *uuid).unwrap();
        self.tracks.values().filter(move |track| track.parent == Some(parent))
    }
}
