//! The command line of `fgspy doctor`.

use std::path::PathBuf;

use clap::Args;

use super::runtime::RuntimeArgs;
use super::values::pid;

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Process to check
    #[arg(short, long, value_name = "PID", value_parser = pid, allow_negative_numbers = true, conflicts_with = "binary")]
    pub(crate) pid: Option<u32>,

    /// Executable to check
    #[arg(value_name = "BINARY")]
    pub(crate) binary: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) runtime: RuntimeArgs,
}
