//! Noticing that a process is no longer what it was.

use std::process::Command;

use fgspy_memory::{Fate, Live, Memory, OpenError, ProcError, Process, Range, ReadError};
use libtest_mimic::{Failed, Trial};

use crate::spawn::{Target, until};
use crate::test;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("identity: exit", exit),
        test("identity: exec of another program", exec),
        test("identity: exec of the same program", exec_self),
        test("identity: exit of a process with threads", exit_with_threads),
    ]
}

fn read_error(memory: &Live) -> Option<ReadError> {
    let (mut buf, mut got) = (Vec::new(), Vec::new());
    let batch = memory.read_ranges(&[Range { addr: 0x1000, len: 8 }], &mut buf, &mut got).err();
    assert_eq!(batch, memory.read_u64(0x1000).err());
    assert_eq!(batch, memory.read_ranges(&[], &mut buf, &mut got).err(), "even asking for nothing");
    batch
}

fn exit() -> Result<(), Failed> {
    let mut target = Target::role("wait");
    target.line();
    let process = Process::open(target.pid())?;
    let memory = process.memory();
    assert_eq!((process.still_same(), read_error(&memory)), (Fate::Same, None));
    target.kill();
    assert_eq!((process.still_same(), read_error(&memory)), (Fate::Exited, Some(ReadError::TargetGone)));
    assert!(matches!(Process::open(target.pid()), Err(OpenError::Exited { pid }) if pid == target.pid()));
    target.reap();
    assert_eq!((process.still_same(), read_error(&memory)), (Fate::Exited, Some(ReadError::TargetGone)));
    assert!(matches!(Process::open(target.pid()), Err(OpenError::NoSuchProcess { pid }) if pid == target.pid()));
    assert!(matches!(process.threads(), Err(ProcError::Gone)));
    assert!(matches!(process.maps(), Err(ProcError::Gone)));
    assert_eq!((process.thread_state(target.pid()), process.thread_times(target.pid())), (None, None));
    Ok(())
}

fn exec() -> Result<(), Failed> {
    let mut target = Target::spawn(Command::new("sh").args(["-c", "echo ready; read x; exec sleep 100"]));
    target.line();
    let process = Process::open(target.pid())?;
    let memory = process.memory();
    assert_eq!((process.still_same(), read_error(&memory)), (Fate::Same, None));
    target.say("go");
    until("it has execed", || process.still_same() != Fate::Same);
    assert_eq!((process.still_same(), read_error(&memory)), (Fate::Execed, Some(ReadError::TargetGone)));
    // The command line is the last thing that exec sets up.
    until("exec is done", || Process::open(target.pid()).is_ok_and(|anew| anew.command_line() == ["sleep", "100"]));
    let anew = Process::open(target.pid())?;
    assert_eq!(anew.start_time(), process.start_time());
    assert_eq!((anew.still_same(), read_error(&anew.memory())), (Fate::Same, None));
    target.kill();
    assert_eq!((process.still_same(), anew.still_same()), (Fate::Exited, Fate::Exited));
    Ok(())
}

fn exec_self() -> Result<(), Failed> {
    let mut target = Target::role("exec-self");
    target.line();
    let process = Process::open(target.pid())?;
    let memory = process.memory();
    assert_eq!(read_error(&memory), None);
    target.say("go");
    assert_eq!(target.line(), "ready"); // said by the new program
    assert_eq!((process.still_same(), read_error(&memory)), (Fate::Execed, Some(ReadError::TargetGone)));
    assert_eq!(Process::open(target.pid())?.exe_path(), process.exe_path());
    Ok(())
}

/// The main thread may be a zombie while others are still on their way out; in the end the answer is the same.
fn exit_with_threads() -> Result<(), Failed> {
    let mut target = Target::role("threads");
    target.line();
    for _ in 0..20 {
        target.say("start");
        target.line();
    }
    let process = Process::open(target.pid())?;
    assert_eq!(process.threads()?.len(), 21);
    target.kill();
    until("it has exited", || process.still_same() == Fate::Exited);
    assert_eq!(read_error(&process.memory()), Some(ReadError::TargetGone));
    Ok(())
}
