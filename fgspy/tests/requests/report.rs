//! What `fgspy requests --json` says.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::common::{fgspy, run};

#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    pub(crate) duration_ns: u64,
    pub(crate) tick_ns: u64,
    pub(crate) requests_seen: u64,
    pub(crate) all_were_read: bool,
    pub(crate) routes: Vec<Route>,
    pub(crate) requests: Vec<Request>,
    pub(crate) idle_mean: BTreeMap<String, f64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Route {
    pub(crate) route: String,
    pub(crate) seen: u64,
    pub(crate) in_flight_mean: f64,
    pub(crate) time_ns: u64,
    pub(crate) by_state: BTreeMap<String, Share>,
    pub(crate) stacks: Vec<Place>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Place {
    pub(crate) time_ns: u64,
    pub(crate) frames: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Share {
    pub(crate) time_ns: u64,
    pub(crate) share: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) protocol: String,
    pub(crate) trace_id: String,
    pub(crate) request_id: String,
    pub(crate) goroutine: u64,
    pub(crate) duration_ns: u64,
}

/// Watches a process for so long, and gives the report, with all requests.
pub(crate) fn watch(pid: u32, time: &str) -> Report {
    let mut command = fgspy();
    // On a busy machine all are to be read at every tick all the same.
    command.args(["requests", "-p", &pid.to_string(), "-d", time, "--max-cpu", "unlimited"]);
    command.args(["--json", "--limit", "100000"]);
    serde_json::from_slice(&run(command).succeeded().stdout).unwrap()
}
