//! Something to do for a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use fgspy_fixtures::ask;

/// Asks a server on this machine for pages, one after the other, until it is dropped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Asks the server on `port`.
    pub(crate) fn on(port: u16) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                for path in ["/metrics", "/health", "/"].into_iter().cycle() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    // What it answers is its own business.
                    let _ = ask(port, path);
                }
            }
        });
        Load { stop, thread: Some(thread) }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
