//! A whole recording, from an open process to a profile.

use fgspy_goroutines::{GoProcess, Trust};
use fgspy_perf::{Config, OnCpu};
use fgspy_profile::Profile;

use crate::{Ended, Foreign, Live, Options, Progress, Session, Sources, Stop, describe, profile, record};

/// Records a process and looks up what was seen.
///
/// The profile holds whatever was recorded, perhaps nothing. What could not be had (a permission, a sure layout) is among
/// its remarks.
pub fn record_profile(
    target: GoProcess,
    options: Options,
    stop: &Stop,
    progress: &mut dyn FnMut(&Progress, &Live<'_>),
) -> (Profile, Ended) {
    let description = describe(&target);
    let mut remarks = remarks(&target);
    let mut foreign = Foreign::of(&target.process);
    let (on_cpu, notes) = open_on_cpu(target.process.pid(), options.requests.is_some());
    remarks.extend(notes);
    let GoProcess { process, memory, runtime, .. } = target;
    let mut session = Session { process, memory, runtime, on_cpu };
    let mut recording = record(&mut session, options, stop, progress);
    remarks.append(&mut recording.accounting.remarks);
    recording.accounting.remarks = remarks;
    // What was loaded meanwhile counts too, unless the target is gone.
    foreign.refresh(&session.process);
    let ended = recording.ended;
    let sources = Sources { runtime: &session.runtime, foreign: &foreign, on_cpu: session.on_cpu.is_some() };
    (profile(recording, description, &sources), ended)
}

/// Bytes of its stack that are copied with each sample of a thread, where the request is wanted that it is for: the frames
/// that lead to that are near the stack's other end. A handler's stack is rarely deeper.
const STACK_WITH_REQUEST: u16 = 16 << 10;

/// Opens the kernel's view of the target's threads. Without permission there is none, and a remark for the user.
/// `requests` says whether a sample should have enough of the stack to tell which request it is for.
pub fn open_on_cpu(pid: u32, requests: bool) -> (Option<OnCpu>, Vec<String>) {
    let mut config = Config { whole_cpus: true, ..Config::new(pid) };
    if requests {
        config.stack_bytes = STACK_WITH_REQUEST;
    }
    match OnCpu::open(config.clone()) {
        Ok(on_cpu) => {
            let notes = on_cpu.coverage().notes(&config);
            (Some(on_cpu), notes)
        }
        Err(error) => (None, vec![format!("running goroutines have no stacks: {error}")]),
    }
}

/// What the user should know about how far a target is understood.
pub fn remarks(target: &GoProcess) -> Vec<String> {
    let mut remarks = Vec::new();
    if let [chosen, others @ ..] = target.runtimes.as_slice()
        && !others.is_empty()
    {
        let others: Vec<String> = others.iter().map(|other| format!("{} ({})", other.name, other.goroutines)).collect();
        remarks.push(format!(
            "process {} has several Go runtimes: this is the one in {} ({} goroutines); there are others in {}: \
             --runtime NAME chooses",
            target.process.pid(),
            chosen.name,
            chosen.goroutines,
            others.join(", ")
        ));
    }
    if let Some(tid) = target.process.asked_by_thread() {
        remarks.push(format!("{tid} is a thread of process {}: all of the process is read", target.process.pid()));
    }
    match &target.runtime.trust {
        Trust::Table => {}
        Trust::Like { release } => remarks.push(format!(
            "its toolchain does not say which release of Go it is ({}); it is read like Go {release}, whose functions it has",
            target.runtime.version
        )),
        Trust::Calibrated { assumed } => remarks.push(format!(
            "this fgspy has no layout for this {}: it was measured in the process; assumed: {}",
            target.runtime.version,
            assumed.join(", ")
        )),
    }
    remarks
}
