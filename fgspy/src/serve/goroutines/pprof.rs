//! The pprof of `debug=0`: how many goroutines have each stack (`printCountProfile` in Go's `runtime/pprof/pprof.go`).

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use fgspy_export::pprof::proto;
use fgspy_gobin::SourceFrame;
use fgspy_profile::Mapping;
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;

use super::{Look, Missing};

/// The id of the only mapping: the target's executable.
const MAPPING: u64 = 1;

pub(super) fn write(look: &Look<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut gzip = GzEncoder::new(out, Compression::default());
    gzip.write_all(&profile(look).encode_to_vec())?;
    gzip.finish().map(drop)
}

fn profile(look: &Look<'_>) -> proto::Profile {
    let mut tables = Tables::new(look.target.mapping());
    tables.string(""); // pprof wants it to be number 0
    let unit = proto::ValueType { r#type: tables.string("goroutine"), unit: tables.string("count") };
    let Mapping { start, limit, file_offset } = look.target.mapping();
    let mapping = proto::Mapping {
        id: MAPPING,
        memory_start: start,
        memory_limit: limit,
        file_offset,
        filename: tables.string(&look.target.executable),
        build_id: tables.string(&look.target.build_id),
        has_functions: true,
        has_filenames: true,
        has_line_numbers: true,
        has_inline_frames: true,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let samples: Vec<proto::Sample> = look
        .groups()
        .iter()
        .map(|group| {
            let shown = group.frames.iter().filter_map(|frame| Some((frame.address, frame.shown()?)));
            let mut location_id: Vec<u64> = shown.map(|(address, lines)| tables.location(address, lines)).collect();
            match group.missing {
                None => {}
                Some(Missing::Outer) => location_id.push(tables.no_code(Missing::Outer.name())),
                Some(missing) => location_id.insert(0, tables.no_code(missing.name())),
            }
            // Some consumers refuse a label without a key or a value.
            let labels = group.labels.iter().filter(|(key, value)| !key.is_empty() && !value.is_empty());
            let label = labels.map(|(key, value)| proto::Label {
                key: tables.string(key),
                str: tables.string(value),
                num: 0,
                num_unit: 0,
            });
            proto::Sample { label: label.collect(), location_id, value: vec![group.count] }
        })
        .collect();
    proto::Profile {
        sample_type: vec![unit],
        sample: samples,
        mapping: vec![mapping],
        location: tables.locations,
        function: tables.functions,
        string_table: tables.strings,
        time_nanos: i64::try_from(now.as_nanos()).unwrap_or(i64::MAX),
        period_type: Some(unit),
        period: 1,
        ..Default::default()
    }
}

/// pprof's tables. Ids are positions, from 1 on for locations and functions.
struct Tables {
    mapping: Mapping,
    strings: Vec<String>,
    string_ids: HashMap<String, i64>,
    functions: Vec<proto::Function>,
    function_ids: HashMap<(String, String), u64>,
    locations: Vec<proto::Location>,
    location_ids: HashMap<u64, u64>,
    no_code_ids: HashMap<&'static str, u64>,
}

impl Tables {
    fn new(mapping: Mapping) -> Tables {
        Tables {
            mapping,
            strings: Vec::new(),
            string_ids: HashMap::new(),
            functions: Vec::new(),
            function_ids: HashMap::new(),
            locations: Vec::new(),
            location_ids: HashMap::new(),
            no_code_ids: HashMap::new(),
        }
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(&id) = self.string_ids.get(text) {
            return id;
        }
        let id = self.strings.len() as i64;
        self.strings.push(text.to_owned());
        self.string_ids.insert(text.to_owned(), id);
        id
    }

    fn function(&mut self, name: &str, file: &str, start_line: u32) -> u64 {
        let key = (name.to_owned(), file.to_owned());
        if let Some(&id) = self.function_ids.get(&key) {
            return id;
        }
        let id = self.functions.len() as u64 + 1;
        let (name, filename) = (self.string(name), self.string(file));
        self.functions.push(proto::Function {
            id,
            name,
            system_name: name,
            filename,
            start_line: i64::from(start_line),
        });
        self.function_ids.insert(key, id);
        id
    }

    /// Where the code at `address` is in the source; without lines it is not Go's.
    fn location(&mut self, address: u64, lines: &[SourceFrame<'_>]) -> u64 {
        if let Some(&id) = self.location_ids.get(&address) {
            return id;
        }
        let mut line: Vec<proto::Line> = lines
            .iter()
            .map(|line| proto::Line {
                function_id: self.function(&line.function, &line.file, line.start_line),
                line: i64::from(line.line),
            })
            .collect();
        if line.is_empty() {
            line.push(proto::Line { function_id: self.function("[not Go code]", "", 0), line: 0 });
        }
        let id = self.add_location(address, line);
        self.location_ids.insert(address, id);
        id
    }

    /// A location that stands for what is not known.
    fn no_code(&mut self, name: &'static str) -> u64 {
        if let Some(&id) = self.no_code_ids.get(name) {
            return id;
        }
        let function_id = self.function(name, "", 0);
        let id = self.add_location(0, vec![proto::Line { function_id, line: 0 }]);
        self.no_code_ids.insert(name, id);
        id
    }

    fn add_location(&mut self, address: u64, line: Vec<proto::Line>) -> u64 {
        let id = self.locations.len() as u64 + 1;
        let mapping_id = if self.mapping.holds(address) { MAPPING } else { 0 };
        self.locations.push(proto::Location { id, mapping_id, address, line });
        id
    }
}
