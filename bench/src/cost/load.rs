//! A load on the server of the benchmarks.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::go;

/// So many requests a second, or as many as the server answers if that is 0, for so long at most.
pub(super) fn command(load: &Path, url: &str, rate: u32, time: Duration) -> Command {
    let mut command = go::command(load);
    command.args(["-url", url, "-rate", &rate.to_string(), "-for", &format!("{}s", time.as_secs())]);
    command
}

/// Sends requests until it is dropped.
pub(super) struct Load(Child);

impl Load {
    /// Runs [`command`].
    ///
    /// # Errors
    /// When the program cannot be run.
    pub(super) fn start(load: &Path, url: &str, rate: u32, time: Duration) -> Result<Load> {
        let child =
            command(load, url, rate, time).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Ok(Load(child.context("cannot run load")?))
    }

    /// Whether it has not ended by itself.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub(super) fn goes_on(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_none())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
