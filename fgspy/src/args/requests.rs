//! The command line of `fgspy requests`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use fgspy_goroutines::request::RequestOptions;
use fgspy_profile::{RequestSelection, RouteOrder};
use regex::Regex;

use super::limits::LimitArgs;
use super::runtime::RuntimeArgs;
use super::values::{duration, pid, rate};
use super::view::RouteArgs;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fgspy requests -p $(pidof checkout)                  watch until Ctrl-C, then a report
  fgspy requests -p 4711 -d 10s | less                 only the report
  fgspy requests -p 4711 -d 10s --route '/orders'      some routes
  fgspy requests -p 4711 -d 10s --json | jq '.routes[] | {route, seen, in_flight_mean}'

With --json: `routes` (all of them) and `requests` (the 100 slowest unless --limit is given), each
with `by_state`; `idle_mean`, `unknown_ns` and `notes` describe the rest. Times are in nanoseconds;
`low` and `high` are the bounds of the 95% interval of a `share`.")]
pub(crate) struct RequestsArgs {
    /// Process to watch
    #[arg(short, long, value_name = "PID", value_parser = pid, allow_negative_numbers = true)]
    pub(crate) pid: u32,

    #[command(flatten)]
    pub(crate) runtime: RuntimeArgs,

    /// Stop after this time, such as 10s, 500ms or 2m. Default: at Ctrl-C, or when the target ends
    #[arg(short, long, value_name = "TIME", value_parser = duration, allow_negative_numbers = true)]
    pub(crate) duration: Option<Duration>,

    /// Ticks a second. A request that is shorter than a tick is seen only by chance
    #[arg(short, long, value_name = "HZ", default_value_t = 99.0, value_parser = rate, allow_negative_numbers = true)]
    pub(crate) rate: f64,

    /// File to write the report to, `-` for standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Write JSON, for jq and scripts
    #[arg(long)]
    pub(crate) json: bool,

    /// What to sort routes by, the greatest first
    #[arg(long, value_enum, value_name = "KEY", default_value_t = Sort::Time)]
    pub(crate) sort: Sort,

    /// How many routes, and how many of the slowest requests, to list [default: 10; with --json all routes, 100 requests]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
}

/// What to list routes by, in the words of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// Time spent in their requests: how many are in flight
    Time,
    /// Requests seen
    Requests,
    /// Mean time of a request
    Mean,
    /// The longest request
    Longest,
}

impl From<Sort> for RouteOrder {
    fn from(sort: Sort) -> RouteOrder {
        match sort {
            Sort::Time => RouteOrder::Time,
            Sort::Requests => RouteOrder::Requests,
            Sort::Mean => RouteOrder::Mean,
            Sort::Longest => RouteOrder::Longest,
        }
    }
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Requests")]
pub(crate) struct SelectionArgs {
    /// Only routes that match
    #[arg(long, value_name = "REGEX")]
    pub(crate) route: Option<Regex>,

    /// Only requests whose route, or method and path, match
    #[arg(long, value_name = "REGEX")]
    pub(crate) request: Option<Regex>,

    /// Only requests of this trace: its id, or at least the first 8 digits
    #[arg(long, value_name = "ID")]
    pub(crate) trace: Option<String>,

    #[command(flatten)]
    pub(crate) naming: RouteArgs,

    /// Distinguish requests, but read no method, path or header
    #[arg(long, conflicts_with = "keep_query")]
    pub(crate) no_request_data: bool,

    /// Keep the query of a path (after `?`), which may contain private data
    #[arg(long)]
    pub(crate) keep_query: bool,
}

impl SelectionArgs {
    /// Which requests to report.
    pub(crate) fn selection(&self) -> RequestSelection {
        RequestSelection { request: self.request.clone(), trace: self.trace.clone(), route: self.route.clone() }
    }

    /// What to read of requests, as the sampler takes it.
    pub(crate) fn options(&self) -> RequestOptions {
        RequestOptions { data: !self.no_request_data, keep_query: self.keep_query }
    }
}
