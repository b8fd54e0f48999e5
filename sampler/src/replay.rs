//! The recording loop on a memory that stands still, without a clock: what a tick costs, counted instead of timed.

use fgspy_goroutines::Runtime;
use fgspy_memory::{Memory, ReadError};
use fgspy_profile::Accounting;

use crate::options::Options;
use crate::tick::{Clock, Now, TickRunner};

/// Makes `ticks` ticks, 10 ms of the recording apart, and says what came of them. With the same seed (and no budget, which
/// looks at the clock) it does exactly the same each time.
///
/// # Errors
/// When the memory cannot be read.
pub fn replay(runtime: &Runtime, memory: &dyn Memory, ticks: u32, options: Options) -> Result<Accounting, ReadError> {
    const PERIOD_NS: u64 = 10_000_000;
    let mut runner = TickRunner::new(runtime, options, options.rng(), None, 0);
    for tick in 1..=ticks {
        let now_ns = runner.now_ns + PERIOD_NS;
        let clock = Clock::stopped(now_ns);
        let now = Now { tick, previous_ns: runner.now_ns, now_ns, due_ns: now_ns, clock };
        runner.read(runtime, memory, now, PERIOD_NS)?;
        runner.commit(now);
    }
    Ok(runner.observer.finish(runner.now_ns, runner.ticks).1)
}
