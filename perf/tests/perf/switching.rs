//! Which threads are on a CPU.

use std::time::Duration;

use fgspy_perf::{Config, Lost, Record, ThreadState, ThreadStates, monotonic_ns};

use crate::target::Target;
use crate::watch::Watch;

pub(crate) fn presence_agrees_with_the_scheduler() {
    let mut target = Target::start();
    let threads = [target.threads("spin 1"), target.threads("burst 2"), target.threads("syscall 1")].concat();
    let mut watch = Watch::open(Config::new(target.pid()));
    watch.drain();
    let account = |target: &Target| threads.iter().map(|tid| target.cpu_ns(*tid)).collect::<Vec<_>>();
    let (start, before) = (monotonic_ns(), account(&target));
    watch.until("2 s", |_| monotonic_ns() > start + 2_000_000_000);
    let (end, after) = (monotonic_ns(), account(&target));
    watch.drain();
    for (tid, (before, after)) in threads.iter().zip(before.iter().zip(&after)) {
        let times = watch.presence.times(*tid, start, end);
        let (ours, theirs) = (times.on_cpu_ns as f64, (after - before) as f64);
        // The scheduler brings its account of a running thread up to date at its ticks only, and takes off stolen time.
        assert!(
            (ours - theirs).abs() < 40e6 + theirs * 0.05,
            "thread {tid}: {ours} by switches, {theirs} by schedstat"
        );
        assert_eq!(times.gone_ns, 0, "thread {tid}");
        assert!(times.unknown_ns < 20_000_000, "thread {tid}: {times:?}");
    }
    assert_eq!(watch.sampler.counts().lost, 0);
}

pub(crate) fn threads_on_one_cpu_preempt_each_other() {
    let mut target = Target::start_on_one_cpu();
    let threads = target.threads("spin 3");
    let mut watch = Watch::open(Config::new(target.pid()));
    let preempted =
        |watch: &Watch, tid| watch.switches().filter(|switch| switch.tid == tid && switch.preempted).count();
    watch.until("preemptions of each thread", |watch| threads.iter().all(|tid| preempted(watch, *tid) >= 20));
    let (start, end) = {
        let times: Vec<u64> = watch.switches().map(|switch| switch.time_ns).collect();
        (times[times.len() / 4], times[times.len() - 1])
    };
    let times: Vec<_> = threads.iter().map(|tid| watch.presence.times(*tid, start, end)).collect();
    let on_cpu: u64 = times.iter().map(|times| times.on_cpu_ns).sum();
    assert!(on_cpu <= end - start, "three threads on one CPU were on it for {on_cpu} of {} ns", end - start);
    for times in times {
        // They never sleep: what they are not on the CPU, they wait for it, two thirds of the time or more.
        assert_eq!((times.blocked_ns, times.unknown_ns, times.gone_ns), (0, 0, 0), "{times:?}");
        assert!(times.preempted_ns > (end - start) / 2, "{times:?} of {}", end - start);
    }
    assert!(watch.switches().all(|switch| !(switch.on_cpu && switch.preempted)));
}

pub(crate) fn a_sleeping_thread_is_blocked() {
    let mut target = Target::start();
    let sleeper = target.threads("park 1")[0];
    let spinner = target.threads("spin 1")[0];
    // The thread tells its id before it goes to sleep: wait until it does.
    let state = format!("/proc/{}/task/{sleeper}/stat", target.pid());
    while !std::fs::read_to_string(&state).expect("it lives").contains(") S ") {
        std::thread::yield_now();
    }
    let mut watch = Watch::open(Config::new(target.pid()));
    let start = monotonic_ns();
    watch.until_samples(10);
    assert_eq!(watch.presence.state_at(sleeper, start), ThreadState::Blocked);
    let spinning = watch.presence.state_at(spinner, start);
    assert!(matches!(spinning, ThreadState::OnCpu | ThreadState::Preempted), "{spinning:?}");
    assert_eq!(watch.samples_by_thread().get(&sleeper), None);
    let found: Vec<_> = watch.records.iter().filter(|record| matches!(record, Record::ThreadFound { .. })).collect();
    assert_eq!(found.len(), 3, "the main thread and two more: {found:?}");
}

pub(crate) fn an_overflowing_ring_says_so() {
    let mut target = Target::start();
    target.threads("yield 4");
    let mut watch = Watch::open(Config { ring_bytes: 1, ..Config::new(target.pid()) });
    assert!(watch.sampler.coverage().cpu_ring_bytes <= 64 << 10, "the smallest ring is a page");
    // Not drained for long enough to fill a page with records of 32 bytes; the loss shows with the next record.
    watch.until("loss", |watch| {
        std::thread::sleep(Duration::from_millis(300));
        watch.sampler.counts().lost > 0
    });
    let (at, lost) = watch
        .records
        .iter()
        .enumerate()
        .find_map(|(at, record)| match record {
            Record::Lost(lost) => Some((at, *lost)),
            _ => None,
        })
        .expect("counted, so delivered");
    let Lost { count, since_ns, until_ns, .. } = lost;
    assert!(count > 0 && since_ns < until_ns, "{lost:?}");
    let mut presence = ThreadStates::new();
    watch.records[..=at].iter().for_each(|record| presence.observe(record));
    for tid in target.all_threads() {
        assert_eq!(presence.state_at(tid, until_ns), ThreadState::Unknown);
    }
    assert_eq!(watch.sampler.counts().malformed, 0);
}
