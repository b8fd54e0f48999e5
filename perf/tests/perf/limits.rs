//! Targets and wishes that are too large.

use std::collections::HashSet;
use std::num::NonZeroU32;

use fgspy_perf::{Config, Mode, OnCpu, OpenError};

use crate::target::Target;
use crate::watch::Watch;

/// With too few events for each thread and CPU there is one for each thread, and new threads are found all the same.
pub(crate) fn few_events_suffice() {
    let mut target = Target::start();
    let mut threads = target.threads("spin 2");
    let config = Config { max_events: 5, ..Config::new(target.pid()) };
    let mut watch = Watch::open(config.clone());
    let coverage = watch.sampler.coverage();
    assert_eq!((coverage.mode, coverage.threads, coverage.left_out), (Mode::PerThread, 3, 0));
    assert_eq!((coverage.events, coverage.cpus), (3, 0));
    assert!(coverage.notes(&config).iter().any(|note| note.contains("missed until the next drain")));
    threads.extend(target.threads("spin 1"));
    watch.until("samples of each thread", |watch| {
        let by_thread = watch.samples_by_thread();
        threads.iter().all(|tid| by_thread.get(tid).is_some_and(|count| *count >= 20))
    });
    assert_eq!(watch.sampler.coverage().threads, 4);
    let pid = target.pid();
    let by_thread = watch.samples_by_thread();
    assert!(by_thread.keys().all(|tid| threads.contains(tid) || *tid == pid), "{by_thread:?}");
    // Threads on two CPUs are seen switching on one and off the other, in order.
    assert_eq!(watch.contradictions(), 0);
    target.quit();
    watch.until("the rings of ended threads to be let go", |watch| watch.sampler.coverage().threads == 0);
}

pub(crate) fn threads_beyond_the_limit_are_counted() {
    let mut target = Target::start();
    target.threads("spin 4");
    let config = Config { max_events: 2, ..Config::new(target.pid()) };
    let mut watch = Watch::open(config.clone());
    let coverage = watch.sampler.coverage();
    assert_eq!((coverage.threads, coverage.left_out, coverage.events), (2, 3, 2));
    assert!(coverage.notes(&config).iter().any(|note| note.starts_with("3 threads are not sampled")));
    watch.until_samples(1);
    let sampled: HashSet<u32> = watch.samples().map(|sample| sample.tid).collect();
    assert!(sampled.len() <= 2);
}

pub(crate) fn an_impossible_rate_is_refused() {
    let config = Config { frequency: NonZeroU32::MAX, ..Config::new(std::process::id()) };
    let error = OnCpu::open(config).err().expect("4 GHz is too much");
    let setting = std::fs::read_to_string("/proc/sys/kernel/perf_event_max_sample_rate").expect("the kernel has perf");
    let max = setting.trim().parse().expect("a number");
    assert_eq!(error, OpenError::RateTooHigh { asked: u32::MAX, max });
    assert!(error.remedy().contains(&format!("at most {max}")));
}

pub(crate) fn a_missing_process_is_refused() {
    for pid in [0, u32::MAX, i32::MAX as u32] {
        assert_eq!(OnCpu::open(Config::new(pid)).err(), Some(OpenError::TargetGone { pid }));
    }
}
