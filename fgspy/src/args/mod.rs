//! The command line.

pub(crate) mod filter;
pub(crate) mod limits;
pub(crate) mod requests;
pub(crate) mod trace;
pub(crate) mod view;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand};
use fgspy_export::Format;
use fgspy_profile::{LabelMatch, State};
use fgspy_sampler::{Options, Reading};
use regex::Regex;

use crate::args::requests::RequestsArgs;
use crate::args::trace::TraceArgs;
use crate::args::view::{RequestArgs, RouteArgs, ViewArgs};

/// Wall-clock profiler for Go, from outside the process.
///
/// Shows where the time of every goroutine goes, computing and waiting together, without pausing, restarting or changing
/// the program. Works for Go 1.17 and later, stripped or not.
#[derive(Debug, Parser)]
#[command(name = "fgspy", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done; a recording that Ctrl-C or the target's exit cut short counts as done, if something was recorded
  1  any other failure
  2  the command line makes no sense
  3  there is no such process, or it was gone before anything was recorded
  4  it is not a Go program that fgspy can read
  5  a permission is missing
  6  the result could not be written";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Record where every goroutine's time goes
    Record(RecordArgs),
    /// Print every goroutine now, as the runtime would on SIGQUIT, without the quitting
    Dump(DumpArgs),
    /// Show where requests spend their time, by route and one by one
    Requests(RequestsArgs),
    /// Show exactly where requests spend their time, by probes in the program (eBPF)
    Trace(TraceArgs),
    /// Serve what net/http/pprof and fgprof would, for a program that imports neither
    Serve(ServeArgs),
    /// Write a recording (.fgspy) in another format
    Report(ReportArgs),
    /// Say what works here, what does not, and the command that fixes it
    Doctor(DoctorArgs),
}

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

    /// Stop after this long, as in 10s, 500ms or 2m; without it, at Ctrl-C or when the target ends
    #[arg(short, long, value_name = "TIME", value_parser = duration, allow_negative_numbers = true)]
    pub(crate) duration: Option<Duration>,

    /// Ticks a second
    #[arg(short, long, value_name = "HZ", default_value_t = 99.0, value_parser = rate, allow_negative_numbers = true)]
    pub(crate) rate: f64,

    /// File to write, `-` for standard output; without it one is named for you
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// flamegraph, pprof, folded, json or raw; without it, by FILE's ending: .svg .pb.gz .folded .json .fgspy
    #[arg(short, long, value_name = "FORMAT", value_parser = format)]
    pub(crate) format: Option<Format>,

    /// Count the runtime's own goroutines even while they wait
    #[arg(long)]
    pub(crate) system: bool,

    /// Show no progress
    #[arg(short, long)]
    pub(crate) quiet: bool,

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

/// What may be used of a core where nobody says otherwise. Somebody is waiting for the result, and wants the times of ten seconds
/// as exact as they can be: this reads every goroutine at every tick in a program with some thousand of them. (The scale part of
/// bench/RESULTS.md has what that takes.)
pub(crate) const DEFAULT_MAX_CPU: &str = "10%";

#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// How much of ONE core to use at most (and a second's worth more, once, at the start). The default is for somebody who
    /// waits for the result: of some thousand goroutines it reads each one at every tick, which takes 1% to 10% of a core. Where it is not
    /// enough, goroutines are sampled at random, and results say how sure they are. For what records all day, 1% is a good
    /// choice. A tick takes something however little it reads: if that is more, it is said. `unlimited` reads every goroutine
    /// at every tick
    #[arg(long, value_name = "PERCENT", default_value = DEFAULT_MAX_CPU, value_parser = limits::max_cpu, allow_negative_numbers = true)]
    pub(crate) max_cpu: Reading,

    /// About how much memory a recording may take, as in 512M or 2G: it forgets which goroutine was which when they
    /// come and go too fast
    #[arg(long, value_name = "BYTES", default_value = "512M", value_parser = limits::max_memory, allow_negative_numbers = true)]
    pub(crate) max_memory: usize,
}

impl LimitArgs {
    /// As the sampler takes them.
    pub(crate) fn options(self) -> Options {
        Options { reading: self.max_cpu, max_memory: self.max_memory, ..Options::default() }
    }
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct FilterArgs {
    /// Only time in these states: running, off-cpu (has a thread that no CPU runs), runnable, syscall, waiting
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = filter::state)]
    pub(crate) state: Vec<State>,

    /// Only waits for these: a class (chan, select, mutex, sync, network, sleep, gc, other) or the runtime's own words
    #[arg(long, value_name = "REASON", value_delimiter = ',')]
    pub(crate) wait: Vec<String>,

    /// Only stacks with a function that matches
    #[arg(long, value_name = "REGEX")]
    pub(crate) focus: Option<Regex>,

    /// No stacks with a function that matches
    #[arg(long, value_name = "REGEX")]
    pub(crate) ignore: Option<Regex>,

    /// Only these goroutines
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) goroutine: Vec<u64>,

    /// Only goroutines with this runtime/pprof label
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) label: Vec<LabelMatch>,

    /// Only time in requests whose route (`GET /orders/{id}`) or method and path (`GET /orders/17`) matches
    #[arg(long, value_name = "REGEX")]
    pub(crate) request: Option<Regex>,

    /// Only time in requests of this trace, or with a label that says so: its id, or the first 8 digits or more
    #[arg(long, value_name = "ID")]
    pub(crate) trace: Option<String>,

    /// No goroutines of servers that serve no request: accept loops, idle connections and workers
    #[arg(long)]
    pub(crate) no_idle: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    /// Process to read
    #[arg(short, long, value_name = "PID", value_parser = pid, allow_negative_numbers = true)]
    pub(crate) pid: u32,

    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// The runtime's own goroutines and frames too, as GOTRACEBACK=system would
    #[arg(short, long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fgspy serve -p $(pidof checkout) &
  go tool pprof 'http://localhost:6061/debug/fgprof?seconds=5'
  curl 'http://localhost:6061/debug/pprof/goroutine?debug=2'")]
pub(crate) struct ServeArgs {
    /// Process to profile
    #[arg(short, long, value_name = "PID", value_parser = pid, allow_negative_numbers = true)]
    pub(crate) pid: u32,

    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6061")]
    pub(crate) listen: std::net::SocketAddr,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    #[command(flatten)]
    pub(crate) requests: RequestArgs,

    #[command(flatten)]
    pub(crate) route: RouteArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Recording to read
    #[arg(value_name = "RECORDING")]
    pub(crate) recording: PathBuf,

    /// File to write, `-` for standard output; without it one is named for you
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// flamegraph, pprof, folded, json or raw; without it, by the ending of FILE
    #[arg(short, long, value_name = "FORMAT", value_parser = format)]
    pub(crate) format: Option<Format>,

    #[command(flatten)]
    pub(crate) view: ViewArgs,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Process to check
    #[arg(short, long, value_name = "PID", value_parser = pid, allow_negative_numbers = true, conflicts_with = "binary")]
    pub(crate) pid: Option<u32>,

    /// Executable to check
    #[arg(value_name = "BINARY")]
    pub(crate) binary: Option<PathBuf>,
}

/// The highest rate: a tick must leave time to read something.
const MAX_RATE_HZ: f64 = 10_000.0;
/// The lowest rate: one tick an hour.
const MIN_RATE_HZ: f64 = 1.0 / 3600.0;

pub(crate) fn pid(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{text}` is no process id; `pgrep -a NAME` lists those of a program"))
}

pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is not a number of ticks a second"))?;
    if (MIN_RATE_HZ..=MAX_RATE_HZ).contains(&rate) {
        Ok(rate)
    } else {
        Err(format!("the rate must be above 0 and at most {MAX_RATE_HZ} ticks a second; 99 is a good choice"))
    }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds_each = match unit {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{unit}` is no unit of time; write 500ms, 10s, 2m or 1h")),
    };
    let number: f64 = number.parse().map_err(|_| format!("`{text}` is no time; write 500ms, 10s, 2m or 1h"))?;
    let time =
        Duration::try_from_secs_f64(number * seconds_each).map_err(|_| format!("`{text}` is no length of time"))?;
    if time.is_zero() { Err("the time must be longer than 0".into()) } else { Ok(time) }
}

fn format(text: &str) -> Result<Format, String> {
    Format::from_name(text)
        .ok_or_else(|| format!("there is no format `{text}`; there are {}", Format::ALL.map(Format::name).join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn process_ids() {
        assert_eq!(pid("4711"), Ok(4711));
        for bad in ["", "-1", "abc", "4294967296", "1 2"] {
            assert!(pid(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["", "0", "-1s", "10x", "s", "1e99h", "nan"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates() {
        assert_eq!(rate("99"), Ok(99.0));
        assert_eq!(rate("0.5"), Ok(0.5));
        for bad in ["0", "-1", "100000", "fast", "nan", "inf"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }
}
