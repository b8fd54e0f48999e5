//! Which format: by name, by file name.

use std::io::{self, Write};
use std::path::Path;

use fgspy_profile::{Profile, recording};

use crate::{folded, json, pprof, svg};

/// A format that a profile can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// An interactive flame graph to look at in a browser: [`crate::svg`].
    FlameGraph,
    /// For `go tool pprof`, Pyroscope, Parca: [`crate::pprof`].
    Pprof,
    /// For `flamegraph.pl`, inferno, speedscope and `grep`: [`crate::folded`].
    Folded,
    /// For `jq` and scripts: [`crate::json`].
    Json,
    /// Everything, to be filtered and pictured later: [`recording`].
    Raw,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 5] = [Format::FlameGraph, Format::Pprof, Format::Folded, Format::Json, Format::Raw];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Format::FlameGraph => "flamegraph",
            Format::Pprof => "pprof",
            Format::Folded => "folded",
            Format::Json => "json",
            Format::Raw => "raw",
        }
    }

    /// The ending for files of this format, without the leading dot.
    pub const fn ending(self) -> &'static str {
        match self {
            Format::FlameGraph => "svg",
            Format::Pprof => "pb.gz",
            Format::Folded => "folded",
            Format::Json => "json",
            Format::Raw => "fgspy",
        }
    }

    /// Its media type, for HTTP.
    pub const fn media_type(self) -> &'static str {
        match self {
            Format::FlameGraph => "image/svg+xml",
            Format::Pprof | Format::Raw => "application/octet-stream",
            Format::Folded => "text/plain; charset=utf-8",
            Format::Json => "application/json",
        }
    }

    /// The format with this name.
    pub fn from_name(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The format that a file name's ending stands for: `.svg`; `.pb.gz`, `.pb`, `.pprof`; `.folded`, `.txt`; `.json`;
    /// `.fgspy`. Upper and lower case are the same.
    pub fn from_path(path: &Path) -> Option<Format> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        const ENDINGS: [(&str, Format); 9] = [
            (".svg", Format::FlameGraph),
            (".pb.gz", Format::Pprof),
            (".pb", Format::Pprof),
            (".pprof", Format::Pprof),
            (".pprof.gz", Format::Pprof),
            (".folded", Format::Folded),
            (".txt", Format::Folded),
            (".json", Format::Json),
            (".fgspy", Format::Raw),
        ];
        ENDINGS.into_iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, format)| format)
    }
}

/// Writes `profile` in `format`. The only errors are those of `out`.
pub fn write(profile: &Profile, format: Format, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::FlameGraph => svg::write(profile, &svg::Options::default(), out),
        Format::Pprof => pprof::write(profile, out),
        Format::Folded => folded::write(profile, out),
        Format::Json => json::write(profile, out),
        Format::Raw => recording::write(profile, out),
    }
}
