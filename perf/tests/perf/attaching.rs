//! Threads and processes that come and go.

use std::collections::{HashMap, HashSet};

use fgspy_perf::{Config, Mode, OnCpu, Record, ThreadState, monotonic_ns};

use crate::target::Target;
use crate::watch::Watch;

/// Attaches while the target makes a thread every moment, each the child of the one before: none may be missed, none
/// recorded twice. (That a thread really is opened twice is rare; a unit test of `OnCpu` brings it about.)
pub(crate) fn new_threads_are_followed_once() {
    const THREADS: usize = 300;
    for _ in 0..3 {
        let mut target = Target::start();
        target.ask(&format!("grow {THREADS}"));
        let mut watch = Watch::open(Config::new(target.pid()));
        assert_eq!(watch.sampler.coverage().mode, Mode::Inherited);
        let at_open = watch.sampler.coverage().threads;
        watch.until("a few switches of each thread", |watch| {
            let threads = target.all_threads();
            let mut switches = HashMap::new();
            watch.switches().for_each(|switch| *switches.entry(switch.tid).or_insert(0) += 1);
            threads.len() == THREADS + 1
                && threads.iter().all(|tid| *tid == target.pid() || switches.get(tid).is_some_and(|count| *count >= 4))
        });
        assert!(at_open <= THREADS, "{at_open} threads when opened: it no longer grew");
        let counts = watch.sampler.counts();
        assert_eq!((watch.contradictions(), counts.lost), (0, 0), "{counts:?}");
        let started: Vec<u32> = watch
            .records
            .iter()
            .filter_map(|record| match record {
                Record::ThreadStart { tid, .. } => Some(*tid),
                _ => None,
            })
            .collect();
        let distinct: HashSet<_> = started.iter().collect();
        assert_eq!(distinct.len(), started.len(), "a start was told twice");
        assert_eq!(watch.sampler.coverage().threads, THREADS + 1, "each is sampled");
    }
}

pub(crate) fn child_processes_are_not_sampled() {
    let mut target = Target::start();
    let mut watch = Watch::open(Config::new(target.pid()));
    let grandchild: u32 = target.ask("beget").parse().expect("a pid");
    let threads = target.threads("spin 1");
    watch.until_samples(50);
    let sampled: HashSet<u32> = watch.samples().map(|sample| sample.tid).collect();
    assert!(!sampled.contains(&grandchild));
    assert!(sampled.iter().all(|tid| threads.contains(tid) || *tid == target.pid()), "{sampled:?}");
    assert_eq!(watch.sampler.counts().foreign, 0, "Linux 5.13 and newer do not record other processes at all");
}

pub(crate) fn the_end_of_the_target_is_quiet() {
    let mut target = Target::start();
    let mut threads: HashSet<u32> = target.threads("spin 2").into_iter().collect();
    let pid = target.pid();
    threads.insert(pid);
    let mut watch = Watch::open(Config::new(pid));
    threads.extend(target.threads("burst 2"));
    watch.until_samples(20);
    target.quit();
    let ended = |watch: &Watch| {
        let ended = watch.records.iter().filter_map(|record| match record {
            Record::ThreadExit { tid, .. } => Some(*tid),
            _ => None,
        });
        ended.collect::<Vec<_>>()
    };
    watch.until("the end of each thread", |watch| ended(watch).len() >= threads.len());
    let told = ended(&watch);
    assert_eq!(told.len(), threads.len(), "{told:?}");
    assert_eq!(told.into_iter().collect::<HashSet<_>>(), threads);
    watch.records.clear();
    for _ in 0..3 {
        watch.drain();
    }
    assert_eq!(watch.records, [], "nothing comes from a process that is gone");
    assert_eq!(watch.sampler.counts().lost, 0);
    let error = OnCpu::open(Config::new(pid)).err().expect("there is no such process");
    assert_eq!(error, fgspy_perf::OpenError::TargetGone { pid });
}

pub(crate) fn exec_is_reported() {
    let mut target = Target::start();
    target.threads("spin 2");
    let mut watch = Watch::open(Config::new(target.pid()));
    watch.until_samples(20);
    target.send("exec");
    watch.until("exec", |watch| watch.records.iter().any(|record| matches!(record, Record::Exec { .. })));
    assert_eq!(watch.records.iter().filter(|record| matches!(record, Record::Exec { .. })).count(), 1);
}

/// In a PID namespace of its own the target's threads have other ids than those we see.
pub(crate) fn ids_are_those_of_the_target_s_namespace() {
    let mut target = Target::start_in_a_pid_namespace();
    let mut seen = target.threads("spin 1");
    let mut watch = Watch::open(Config::new(target.pid()));
    seen.extend(target.threads("spin 1")); // looked up when its start is recorded
    let own_id = |tid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{}/task/{tid}/status", target.pid())).expect("it lives");
        let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).expect("Linux 4.1").trim().to_owned();
        ids.split_whitespace().next_back().expect("an id").parse::<u32>().expect("a number")
    };
    let own: HashSet<u32> = seen.iter().map(own_id).collect();
    assert!(own.iter().all(|tid| *tid < 20), "small numbers, in a namespace as new as this: {own:?}");
    watch.until("samples of both", |watch| {
        let by_thread = watch.samples_by_thread();
        own.iter().all(|tid| by_thread.get(tid).is_some_and(|count| *count >= 10))
    });
    let allowed = |tid: u32| own.contains(&tid) || tid == own_id(&target.pid());
    assert!(watch.samples().all(|sample| allowed(sample.tid)), "{:?}", watch.samples_by_thread());
    assert!(watch.switches().all(|switch| allowed(switch.tid)));
    for tid in own {
        assert_ne!(watch.presence.state_at(tid, monotonic_ns()), ThreadState::Unknown);
    }
}
