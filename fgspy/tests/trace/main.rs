//! `fgspy trace` from outside. Skipped by name where the kernel does not let us trace.

#[path = "../common/mod.rs"]
mod common;

mod files;
mod lives;
mod processes;
mod served;
mod streams;
mod unseen;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fgspy_fixtures::requests::{Load, Service};
use fgspy_fixtures::skip;
use fgspy_probes::measure_trap_cost;

use common::{newest, program};

/// Held by the test that runs: a service, its load and two that look at them are enough for the machine.
static TURN: Mutex<()> = Mutex::new(());

/// Waits for its turn, if tracing is permitted here; if not, the test is skipped.
fn may_trace(test: &str) -> Option<MutexGuard<'static, ()>> {
    if let Err(error) = measure_trap_cost() {
        skip(test, &error.to_string());
        return None;
    }
    Some(TURN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A service under load, by all protocols.
fn service() -> (Service, Load) {
    service_asked(|way| way != "upstream", &["-clients=8"])
}

/// A service under load, by these ways.
fn service_asked(is_way: impl Fn(&str) -> bool, load: &[&str]) -> (Service, Load) {
    let binary: PathBuf = program("requests", &newest());
    let service = Service::start(&binary, &[], &[]).unwrap();
    let ways = service.addresses.iter().filter(|(way, _)| is_way(way));
    let load = Load::start(&binary, ways, load).unwrap();
    (service, load)
}
