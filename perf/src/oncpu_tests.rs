//! What the tests of whole processes cannot bring about at will. The target is this process itself.

use std::io::Write;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::*;
use crate::attr;

/// A thread that inherits its tracker and is found by listing as well has two: as when a target makes threads while it
/// is being opened.
#[test]
fn a_thread_opened_twice_is_recorded_once() {
    if let Err(error) = crate::diagnose(None).can_user {
        // Past the capture of tests that pass, so that it is seen.
        let _ = writeln!(std::io::stderr(), "SKIPPED a_thread_opened_twice_is_recorded_once: {error}");
        return;
    }
    let config = Config::new(std::process::id());
    let mut sampler = OnCpu::open(config.clone()).expect("one's own process");
    let (tell, told) = mpsc::channel();
    let (allow, allowed) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let own = std::fs::read_link("/proc/thread-self").expect("procfs");
        let tid = own.file_name().and_then(|tid| tid.to_str()).and_then(|tid| tid.parse().ok()).expect("a tid");
        tell.send(tid).expect("awaited");
        allowed.recv().expect("allowed");
        (0..50).for_each(|_| std::thread::sleep(Duration::from_micros(100)));
    });
    let tid: u32 = told.recv().expect("the thread starts");
    let tracker = attr::tracker(&config, sampler.attached.allowed.threads_only);
    sampler.attached.track(&config, &tracker, tid).expect("opened again");
    allow.send(()).expect("it waits");
    thread.join().expect("the thread ends");

    let (mut switches, mut starts, mut exits) = (Vec::new(), 0, 0);
    let begin = Instant::now();
    while exits == 0 && begin.elapsed() < Duration::from_secs(60) {
        sampler.drain(&mut |record| match record {
            Record::Switch(switch) if switch.tid == tid => switches.push(switch.on_cpu),
            Record::ThreadStart { tid: other, .. } if other == tid => starts += 1,
            Record::ThreadExit { tid: other, .. } if other == tid => exits += 1,
            _ => {}
        });
    }
    sampler.drain(&mut |record| assert!(!matches!(record, Record::ThreadExit { tid: other, .. } if other == tid)));
    assert_eq!((starts, exits), (1, 1));
    assert!(switches.len() >= 100, "50 sleeps, off and on: {}", switches.len());
    assert!(switches.windows(2).all(|pair| pair[0] != pair[1]), "on and off in turn: {switches:?}");
    assert!(sampler.counts().duplicates >= 100, "each was recorded twice: {:?}", sampler.counts());
}
