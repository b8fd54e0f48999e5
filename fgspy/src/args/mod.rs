//! The command line: a module for each command, and one for each group of options that commands share.

pub(crate) mod doctor;
pub(crate) mod dump;
pub(crate) mod filter;
pub(crate) mod limits;
pub(crate) mod record;
pub(crate) mod report;
pub(crate) mod requests;
pub(crate) mod serve;
pub(crate) mod trace;
pub(crate) mod values;
pub(crate) mod view;

#[cfg(test)]
mod tests;

use clap::{Parser, Subcommand};

use doctor::DoctorArgs;
use dump::DumpArgs;
use record::RecordArgs;
use report::ReportArgs;
use requests::RequestsArgs;
use serve::ServeArgs;
use trace::TraceArgs;

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
