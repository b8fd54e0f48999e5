//! The command line of `fgspy report`.

use std::path::PathBuf;

use clap::Args;
use fgspy_export::Format;

use super::filter::FilterArgs;
use super::values::format;
use super::view::ViewArgs;

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Recording to read
    #[arg(value_name = "RECORDING")]
    pub(crate) recording: PathBuf,

    /// File to write, `-` for standard output. Default: a name made of the program and the time
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// flamegraph, pprof, folded, json or raw. Default: by the ending of FILE
    #[arg(short, long, value_name = "FORMAT", value_parser = format)]
    pub(crate) format: Option<Format>,

    #[command(flatten)]
    pub(crate) view: ViewArgs,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}
