//! Ends fgspy if a read of the target never returns: its page is in memory that another process supplies and does not
//! (userfaultfd, FUSE). No signal but SIGKILL interrupts such a read in the kernel; the exit of the process does.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use fgspy_memory::read_under_way;
use fgspy_sampler::Stop;

use crate::exit::Status;
use crate::terminal::message::print_message;

/// How often reads are looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How long one read may take once fgspy should end.
const LIMIT: Duration = Duration::from_secs(1);
/// After this a command that looks only once should end.
pub(crate) const ONE_LOOK: Duration = Duration::from_secs(2);

/// Watches reads from now on. fgspy should end when `stop` is requested or `duration` is over.
pub(crate) fn watch(stop: Stop, duration: Option<Duration>) -> io::Result<()> {
    let start = Instant::now();
    let look = move || {
        let mut since = (None, Instant::now());
        loop {
            thread::sleep(LOOK);
            let should_end = stop.is_requested() || duration.is_some_and(|duration| start.elapsed() >= duration);
            let read = read_under_way().filter(|_| should_end);
            if read.is_none() || read != since.0 {
                since = (read, Instant::now());
            } else if since.1.elapsed() >= LIMIT {
                print_message(
                    "\nfgspy: a read of the target's memory does not return: the page is supplied by another process, which does \
                     not answer (userfaultfd, FUSE)\n  nothing was written, because the read cannot be interrupted",
                );
                std::process::exit(Status::Other.code().into());
            }
        }
    };
    thread::Builder::new().name("watchdog".into()).spawn(look).map(drop)
}
