//! Ctrl-C and SIGTERM end a recording; they do not throw it away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fgspy_sampler::Stop;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use signal_hook::iterator::Signals;

/// What the signals that came ask for.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    /// To stop: the first SIGINT, SIGTERM or SIGHUP. A second one ends fgspy at once.
    pub(crate) stop: Stop,
    leave: Arc<AtomicBool>,
}

impl Requests {
    /// Whether fgspy is to go away as soon as its work is done: SIGTERM and SIGHUP are meant for it. Ctrl-C is not one:
    /// a program that shares our terminal gets it too.
    pub(crate) fn leave(&self) -> bool {
        self.leave.load(Ordering::Relaxed)
    }
}

/// Turns signals into requests from now on.
pub(crate) fn requests() -> anyhow::Result<Requests> {
    let requests = Requests { stop: Stop::new(), leave: Arc::default() };
    // Beyond a limit on file sizes, a write shall fail like any other; by default the signal would kill us.
    flag::register(SIGXFSZ, Arc::default())?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::Builder::new().name("signals".into()).spawn({
        let Requests { stop, leave } = requests.clone();
        move || {
            for signal in signals.forever() {
                if stop.is_requested() {
                    std::process::exit(128 + signal);
                }
                leave.fetch_or(signal != SIGINT, Ordering::Relaxed);
                stop.request();
            }
        }
    })?;
    Ok(requests)
}

/// A request that the first SIGINT, SIGTERM or SIGHUP makes. A second one ends fgspy at once.
pub(crate) fn stop_on_signal() -> anyhow::Result<Stop> {
    Ok(requests()?.stop)
}
