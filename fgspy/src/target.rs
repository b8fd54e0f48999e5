//! What every command says to the user about its target.

use fgspy_goroutines::Trust;
use fgspy_kernel::{Config, OnCpu};
use fgspy_sampler::GoProcess;

/// Opens the kernel's view of the target's threads. Without permission there is none, and a remark for the user.
pub(crate) fn open_on_cpu(pid: u32) -> (Option<OnCpu>, Vec<String>) {
    let config = Config::new(pid);
    match OnCpu::open(config.clone()) {
        Ok(on_cpu) => {
            let notes = on_cpu.coverage().notes(&config);
            (Some(on_cpu), notes)
        }
        Err(error) => (None, vec![format!("running goroutines have no stacks: {error}")]),
    }
}

/// What the user should know about how far a target is understood.
pub(crate) fn remarks(target: &GoProcess) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(tid) = target.process.asked_by_thread() {
        remarks.push(format!("{tid} is a thread of process {}: all of the process is read", target.process.pid()));
    }
    if let Trust::Calibrated { assumed } = &target.runtime.trust {
        remarks.push(format!(
            "this fgspy has no layout for this {}: it was measured in the process; assumed: {}",
            target.runtime.version,
            assumed.join(", ")
        ));
    }
    remarks
}
