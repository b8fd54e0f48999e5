//! The command line: a module for each command, and one for each group of options that commands share.

pub(crate) mod doctor;
pub(crate) mod dump;
pub(crate) mod filter;
pub(crate) mod limits;
pub(crate) mod record;
pub(crate) mod report;
pub(crate) mod requests;
pub(crate) mod runtime;
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
/// Shows where the time of every goroutine goes, on a CPU and waiting, without pausing, restarting or changing the program.
/// Works with Go 1.17 and later, also with stripped executables.
#[derive(Debug, Parser)]
#[command(name = "fgspy", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  success; also if Ctrl-C or the exit of the target ended a recording that is not empty
  1  any other failure
  2  the command line is invalid
  3  there is no such process, or it ended before anything was recorded
  4  the process is not a Go program that fgspy can read
  5  a permission is missing
  6  the result could not be written";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Record where every goroutine's time goes
    Record(RecordArgs),
    /// Print the stacks of all goroutines now, as the runtime does on SIGQUIT, without ending the program
    Dump(DumpArgs),
    /// Show where HTTP and gRPC requests spend their time, by route and one by one
    Requests(RequestsArgs),
    /// Trace requests exactly, with eBPF probes in the program: percentiles, and every wait
    Trace(TraceArgs),
    /// Serve the pages of net/http/pprof and fgprof for a program that imports neither
    Serve(ServeArgs),
    /// Convert a recording (.fgspy) to another format, or filter it
    Report(ReportArgs),
    /// Check what works here, and print the commands that fix what does not
    Doctor(DoctorArgs),
}
