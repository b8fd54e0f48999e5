//! Sampling whole CPUs.

use fgspy_perf::{Config, Mode, OnCpu, OpenError, Record, SchedStats};

use crate::target::Target;
use crate::watch::Watch;

/// Samples in a run: some 4 s of CPU time.
const ENOUGH: u64 = 400;

fn whole_cpus(pid: u32) -> Config {
    Config { whole_cpus: true, ..Config::new(pid) }
}

pub(crate) fn whole_cpus_give_the_target_s_samples_only() {
    let (mut target, mut stranger) = (Target::start(), Target::start());
    stranger.threads("spin 1");
    let mut threads = target.threads("spin 1");
    let mut watch = Watch::open(whole_cpus(target.pid()));
    assert_eq!(watch.sampler.coverage().mode, Mode::Cpus);
    let before: Vec<u64> = threads.iter().map(|tid| target.cpu_ns(*tid)).collect();
    threads.extend(target.threads("spin 1")); // created under observation
    watch.until_samples(ENOUGH);
    let by_thread = watch.samples_by_thread();
    assert!(by_thread.keys().all(|tid| threads.contains(tid)), "{by_thread:?}, but the threads are {threads:?}");
    let ran = threads.iter().zip(before.iter().chain(&[0])).map(|(tid, before)| target.cpu_ns(*tid) - before);
    // The period of a CPU is 97 % of the one asked for.
    let (got, expected) = (watch.sampler.counts().samples as f64, ran.sum::<u64>() as f64 * 99e-9 / 0.97);
    // Which of two threads that take turns is sampled is a matter of chance: 4 standard deviations.
    assert!((got - expected).abs() < 4.0 * expected.sqrt(), "{got} samples, {expected} expected");
    let counts = watch.sampler.counts();
    assert_eq!((counts.lost, counts.malformed, counts.switches), (0, 0, 0));
    assert!(counts.foreign > 0, "the other process was sampled too, and left out");
}

/// Of threads that share a CPU, each waits while the others run.
pub(crate) fn waiting_for_a_cpu_is_told() {
    let mut target = Target::start_on_one_cpu();
    let threads = target.threads("spin 3");
    let sleeper = target.threads("park 1")[0];
    let mut accounts = SchedStats::new(target.pid());
    let before: Vec<u64> = threads.iter().map(|tid| target.cpu_ns(*tid)).collect();
    assert!(threads.iter().all(|tid| accounts.progress(*tid).expect("it is there").is_first));
    while threads.iter().zip(&before).any(|(tid, before)| target.cpu_ns(*tid) < before + 300_000_000) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(accounts.is_asleep(sleeper), Some(true));
    for tid in &threads {
        let progress = accounts.progress(*tid).expect("it is there");
        let share = progress.waited_ns as f64 / (progress.ran_ns + progress.waited_ns) as f64;
        assert!(share > 0.5 && share < 1.0, "thread {tid}, one of three, waits {share} of its time");
        assert_eq!(accounts.is_asleep(*tid), Some(false), "who waits for a CPU does not sleep");
    }
    assert_eq!(accounts.progress(u32::MAX), None, "there is no such thread");
}

pub(crate) fn whole_cpus_tell_of_exec_and_know_who_is_gone() {
    let mut target = Target::start();
    let pid = target.pid();
    let mut watch = Watch::open(whole_cpus(pid));
    target.send("exec");
    watch.until("exec", |watch| watch.records.iter().any(|record| matches!(record, Record::Exec { .. })));
    drop(target);
    assert_eq!(OnCpu::open(whole_cpus(pid)).err(), Some(OpenError::TargetGone { pid }));
}
