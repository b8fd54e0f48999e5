//! Ctrl-C and SIGTERM end a recording; they do not throw it away.

use std::thread;

use fgspy_sampler::Stop;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A request that the first SIGINT, SIGTERM or SIGHUP makes. A second one ends fgspy at once.
pub(crate) fn stop_on_signal() -> anyhow::Result<Stop> {
    let stop = Stop::new();
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::Builder::new().name("signals".into()).spawn({
        let stop = stop.clone();
        move || {
            for signal in signals.forever() {
                if stop.is_requested() {
                    std::process::exit(128 + signal);
                }
                stop.request();
            }
        }
    })?;
    Ok(stop)
}
