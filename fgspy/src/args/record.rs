//! The command line of `fgspy record`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use fgspy_export::Format;

use super::filter::FilterArgs;
use super::limits::LimitArgs;
use super::runtime::RuntimeArgs;
use super::values::{duration, format, pid, rate};
use super::view::{RequestArgs, ViewArgs};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("target").required(true).args(["pid", "program"])))]
#[command(
    override_usage = "fgspy record [OPTIONS] (--pid <PID> | -- <PROGRAM>...)",
    after_help = "\
Examples:
  fgspy record -p $(pidof checkout) -d 10s             a flame graph of the next ten seconds
  fgspy record -p 4711 -d 10s -o wait.pb.gz            for go tool pprof
  fgspy record -p 4711 -f folded -o - | less           one line per stack
  fgspy record -p 4711 --no-idle --group-by route      what requests wait for, route by route
  fgspy record -o run.svg -- ./myserver --port 8080    start a program and record it until it ends"
)]
pub(crate) struct RecordArgs {
    /// Process to record
    #[arg(short, long, value_name = "PID", value_parser = pid, allow_negative_numbers = true)]
    pub(crate) pid: Option<u32>,

    /// Stop after this time, such as 10s, 500ms or 2m. Default: at Ctrl-C, or when the target ends
    #[arg(short, long, value_name = "TIME", value_parser = duration, allow_negative_numbers = true)]
    pub(crate) duration: Option<Duration>,

    /// Ticks a second
    #[arg(short, long, value_name = "HZ", default_value_t = 99.0, value_parser = rate, allow_negative_numbers = true)]
    pub(crate) rate: f64,

    /// File to write, `-` for standard output. Default: a name made of the program and the time
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// flamegraph, pprof, folded, json or raw. Default: by the ending of FILE: .svg .pb.gz .folded .json .fgspy
    #[arg(short, long, value_name = "FORMAT", value_parser = format)]
    pub(crate) format: Option<Format>,

    /// Include the runtime's own goroutines even while they wait
    #[arg(long)]
    pub(crate) system: bool,

    /// Print no progress and no summary
    #[arg(short, long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) runtime: RuntimeArgs,

    /// Program to start and record, with its arguments
    #[arg(last = true, value_name = "PROGRAM")]
    pub(crate) program: Vec<String>,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    #[command(flatten)]
    pub(crate) requests: RequestArgs,

    #[command(flatten)]
    pub(crate) view: ViewArgs,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}
