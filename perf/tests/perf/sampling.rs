//! What is in the samples, and how many there are.

use fgspy_perf::{Config, KernelSymbols, monotonic_ns};

use crate::target::Target;
use crate::watch::Watch;

/// Samples in a run; at 99 Hz some 4 s of CPU time.
const ENOUGH: u64 = 400;

pub(crate) fn samples_add_up_to_cpu_time() {
    let mut target = Target::start();
    let mut threads = target.threads("spin 2");
    let mut watch = Watch::open(Config::new(target.pid()));
    let at_start: Vec<u64> = threads.iter().map(|tid| target.cpu_ns(*tid)).collect();
    threads.extend(target.threads("spin 2")); // these two are created under observation
    watch.until_samples(ENOUGH);
    let cpu_ns: Vec<u64> =
        threads.iter().zip(at_start.iter().chain(&[0, 0])).map(|(tid, before)| target.cpu_ns(*tid) - before).collect();
    let by_thread = watch.samples_by_thread();
    let expected = cpu_ns.iter().sum::<u64>() as f64 * 99e-9;
    let got = watch.sampler.counts().samples as f64;
    // Each thread may miss one period between its first sample and its next one. On a virtual machine a thread may miss
    // more: several periods that end while its CPU is away are one sample, but CPU time goes on. That is far from the two
    // fifths that are lost by an event for each CPU.
    assert!(got < expected * 1.02 + 4.0, "{got} samples, {expected} expected");
    assert!(got > expected * 0.9 - 4.0, "{got} samples, {expected} expected");
    for (tid, ns) in threads.iter().zip(&cpu_ns) {
        let (got, expected) = (by_thread.get(tid).copied().unwrap_or(0) as f64, *ns as f64 * 99e-9);
        assert!(got < expected * 1.05 + 3.0, "thread {tid}: {got} samples, {expected} expected");
        assert!(got > expected * 0.75 - 3.0, "thread {tid}: {got} samples, {expected} expected");
    }
    let strangers: Vec<_> = by_thread.keys().filter(|tid| !target.all_threads().contains(tid)).collect();
    assert!(strangers.is_empty(), "samples of threads that the target does not have: {strangers:?}");
    let counts = watch.sampler.counts();
    assert_eq!((counts.lost, counts.malformed, counts.foreign), (0, 0, 0));
}

/// Many threads that use so little CPU that each gets two or three samples: none may be lost at the beginning.
pub(crate) fn threads_that_do_little_get_their_share() {
    let mut target = Target::start();
    let threads = target.threads("doze 60");
    let mut watch = Watch::open(Config::new(target.pid()));
    let start = monotonic_ns();
    let on_cpu_ns = |watch: &Watch| {
        let end = monotonic_ns();
        threads.iter().map(|tid| watch.presence.times(*tid, start, end).on_cpu_ns).sum::<u64>()
    };
    watch.until("1.5 s of CPU time", |watch| on_cpu_ns(watch) > 1_500_000_000);
    let (got, expected) = (watch.sampler.counts().samples as f64, on_cpu_ns(&watch) as f64 * 99e-9);
    // With a whole period before each first sample there would be 30 too few, a fifth.
    assert!((got - expected).abs() < expected * 0.1, "{got} samples, {expected} expected");
}

pub(crate) fn samples_carry_what_unwinding_needs() {
    let mut target = Target::start();
    let threads = target.threads("spin 1");
    let start = monotonic_ns();
    let mut watch = Watch::open(Config { stack_bytes: 250, ..Config::new(target.pid()) });
    watch.until_samples(50);
    let end = monotonic_ns();
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", target.pid())).expect("it lives");
    let mapped = |address: u64| {
        maps.lines().any(|line| {
            let (from, to) = line.split_once(' ').and_then(|(range, _)| range.split_once('-')).expect("a range");
            let parse = |hex| u64::from_str_radix(hex, 16).expect("hex");
            (parse(from)..parse(to)).contains(&address)
        })
    };
    for sample in watch.samples() {
        assert_eq!(sample.tid, threads[0]);
        assert!((start..=end).contains(&sample.time_ns), "{} not in {start}..{end}", sample.time_ns);
        let registers = sample.registers.expect("a 64-bit process has registers");
        assert_eq!(sample.user_chain.first(), Some(&registers.pc), "the leaf is the program counter");
        assert!(mapped(registers.pc) && mapped(registers.sp), "{registers:x?}");
        assert_eq!(sample.stack.len(), 256, "250 rounded up");
        if let Some(caller) = sample.user_chain.get(1) {
            assert!(mapped(*caller), "{caller:x}");
        }
    }
}

pub(crate) fn time_in_the_kernel_is_sampled() {
    let mut target = Target::start();
    target.threads("syscall 1");
    let mut watch = Watch::open(Config::new(target.pid()));
    assert!(watch.sampler.coverage().kernel);
    watch.until_samples(100);
    let inside: Vec<_> = watch.samples().filter(|sample| !sample.kernel_chain.is_empty()).collect();
    assert!(inside.len() > 50, "{} of 100 samples of a thread that reads /dev/zero are in the kernel", inside.len());
    for sample in &inside {
        assert!(sample.kernel_chain.iter().all(|address| address >> 63 == 1), "{:x?}", sample.kernel_chain);
        let pc = sample.registers.map(|registers| registers.pc);
        assert!(pc.is_some() && sample.user_chain.first().copied() == pc, "the system call was made somewhere");
        assert!(sample.user_chain.iter().all(|address| address >> 63 == 0), "{:x?}", sample.user_chain);
    }
    let symbols = KernelSymbols::new();
    assert!(symbols.available(), "who may sample the kernel may read its symbols");
    let names: Vec<_> =
        inside.iter().flat_map(|sample| &sample.kernel_chain).map(|frame| symbols.name(*frame)).collect();
    assert!(names.iter().flatten().any(|name| name.contains("read")), "{names:?}");
    let unnamed = names.iter().filter(|name| name.is_none()).count();
    assert!(unnamed * 20 < names.len(), "{unnamed} of {} kernel frames have no name", names.len());

    let mut user_only = Watch::open(Config { kernel: false, ..Config::new(target.pid()) });
    assert!(!user_only.sampler.coverage().kernel);
    target.threads("spin 1");
    user_only.until_samples(50);
    assert!(user_only.samples().all(|sample| sample.kernel_chain.is_empty()));
}

pub(crate) fn records_come_in_order_of_time() {
    let mut target = Target::start();
    target.threads("burst 8");
    let mut watch = Watch::open(Config::new(target.pid()));
    watch.until("switches", |watch| watch.sampler.counts().switches > 5000);
    let times: Vec<u64> = watch.switches().map(|switch| switch.time_ns).collect();
    let late: Vec<u64> = times.windows(2).filter(|pair| pair[0] > pair[1]).map(|pair| pair[0] - pair[1]).collect();
    assert!(late.len() < 5, "{} of {} records late, by {late:?} ns", late.len(), times.len());
    assert_eq!(watch.contradictions(), 0, "of {} switches", times.len());
}
