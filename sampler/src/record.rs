//! The recording loop: tick, drain, read, weigh.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fgspy_goroutines::PluginWatch;
use fgspy_memory::{Held, own_cpu_time};
use fgspy_perf::monotonic_ns;
use fgspy_profile::Accounting;

use crate::estimate::Samples;
use crate::held::HeldWatch;
use crate::live;
use crate::options::{Ended, Options, Progress, Session};
use crate::tick::{OnTime, Stop, TickRunner, Ticker};

/// What was recorded, not yet looked up: see [`profile`](crate::profile()).
pub struct Recording {
    /// The observations.
    pub samples: Samples,
    /// How they came about.
    pub accounting: Accounting,
    /// Start, in nanoseconds since the Unix epoch.
    pub start_unix_ns: u64,
    /// Measured length.
    pub duration: Duration,
    /// Why it ended.
    pub ended: Ended,
    /// What kept the target from running all the time.
    pub held: Option<Held>,
}

/// Records until the time is over, `stop` is requested or the target ends. Whatever was recorded until then is returned.
pub fn record(
    session: &mut Session,
    options: Options,
    stop: &Stop,
    progress: &mut dyn FnMut(&Progress, &live::Live<'_>),
) -> Recording {
    let start_unix_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
    let own_cpu_before = own_cpu_time();
    let start_ns = monotonic_ns();
    let period = Duration::from_secs_f64(1.0 / options.rate_hz);
    let mut rng = options.rng();
    let mut ticker = Ticker::new(start_ns, period, options.duration, rng.fork());
    let mut runner = TickRunner::new(&session.runtime, options, rng, session.on_cpu.as_ref(), start_ns);
    let mut plugins = PluginWatch::new(&session.memory, &session.runtime);
    let mut covered_ns = 0;
    let mut on_time = OnTime::default();
    let mut held = HeldWatch::default();
    let ended = loop {
        let stopped = stop.sleep(ticker.until_due(monotonic_ns()));
        // The last moment at which the target was seen alive bounds what an aborted tick may count.
        let tick = ticker.tick(monotonic_ns(), stopped);
        held.look(&session.process, monotonic_ns(), tick.last);
        // If the target is gone, the tick finds out.
        if let Ok(plugins) = &mut plugins {
            plugins.look(&session.process, &session.memory, &session.runtime).ok();
        }
        if let Err(ended) = runner.run(session, tick) {
            runner.observer.abandon();
            break ended;
        }
        covered_ns += tick.interval_ns;
        let live = live::Live {
            runtime: &session.runtime,
            observer: &runner.observer,
            now_ns: runner.now_ns,
            ticks: runner.ticks,
        };
        progress(&runner.progress(Duration::from_nanos(covered_ns)), &live);
        // Not before the first tick, which may have had very many goroutines to look at.
        on_time.after(tick, monotonic_ns());
        if tick.last {
            break if stopped { Ended::Stopped } else { Ended::Duration };
        }
    };
    drop(on_time);
    let cpu_samples = runner.interval.sample_count;
    // What follows is no cost of watching.
    let own_cpu = own_cpu_time().saturating_sub(own_cpu_before);
    let missed = runner.missed_requests();
    let (samples, mut accounting) = runner.observer.finish(runner.now_ns, runner.ticks);
    accounting.own_cpu_ns = own_cpu.as_nanos() as u64;
    accounting.remarks.extend(held.remark());
    accounting.remarks.extend(missed);
    accounting.cpu_samples = cpu_samples;
    accounting.cpu_samples_lost = session.on_cpu.as_ref().map_or(0, |on_cpu| on_cpu.counts().lost);
    let (duration, held) = (Duration::from_nanos(covered_ns), held.throughout().cloned());
    Recording { samples, accounting, start_unix_ns, duration, ended, held }
}
