//! Ctrl-C and SIGTERM end a recording; they do not throw it away.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fgspy_sampler::Stop;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

/// What the signals that came asked for.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    /// To stop: the first SIGINT, SIGTERM or SIGHUP. A second one ends fgspy at once.
    pub(crate) stop: Stop,
    leave: Arc<AtomicBool>,
    /// There is nothing left to stop.
    is_over: Arc<AtomicBool>,
}

impl Signals {
    /// Whether fgspy must exit as soon as its work is done: SIGTERM and SIGHUP are meant for it alone. Ctrl-C is not: a program that
    /// shares our terminal gets it too.
    pub(crate) fn leave(&self) -> bool {
        self.leave.load(Ordering::Relaxed)
    }

    /// From now on the first signal ends fgspy at once: it writes to something that may wait for a reader for ever.
    pub(crate) fn may_wait(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Catches signals from now on.
pub(crate) fn catch() -> io::Result<Signals> {
    let caught = Signals { stop: Stop::new(), leave: Arc::default(), is_over: Arc::default() };
    // Beyond a limit on file sizes, a write shall fail like any other; by default the signal would kill us.
    flag::register(SIGXFSZ, Arc::default())?;
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::Builder::new().name("signals".into()).spawn({
        let Signals { stop, leave, is_over } = caught.clone();
        move || {
            for signal in signals.forever() {
                if stop.is_requested() || is_over.load(Ordering::Relaxed) {
                    std::process::exit(128 + signal);
                }
                leave.fetch_or(signal != SIGINT, Ordering::Relaxed);
                stop.request();
            }
        }
    })?;
    Ok(caught)
}

/// What the first SIGINT, SIGTERM or SIGHUP stops. A second one ends fgspy at once.
pub(crate) fn stop_on_signal() -> io::Result<Stop> {
    Ok(catch()?.stop)
}
