//! The command line of `fgspy serve`.

use clap::Args;

use super::limits::LimitArgs;
use super::runtime::RuntimeArgs;
use super::values::pid;
use super::view::{RequestArgs, RouteArgs};

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
    pub(crate) runtime: RuntimeArgs,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    #[command(flatten)]
    pub(crate) requests: RequestArgs,

    #[command(flatten)]
    pub(crate) route: RouteArgs,
}
