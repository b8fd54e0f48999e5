//! The command line of `fgspy dump`.

use clap::Args;

use super::runtime::RuntimeArgs;
use super::values::pid;

#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    /// Process to read
    #[arg(short, long, value_name = "PID", value_parser = pid, allow_negative_numbers = true)]
    pub(crate) pid: u32,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Include the runtime's own goroutines and frames, as with GOTRACEBACK=system
    #[arg(short, long)]
    pub(crate) all: bool,

    #[command(flatten)]
    pub(crate) runtime: RuntimeArgs,
}
