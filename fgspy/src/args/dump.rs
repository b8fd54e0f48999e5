//! The command line of `fgspy dump`.

use clap::Args;

use super::values::pid;

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
