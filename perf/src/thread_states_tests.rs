//! Histories told record by record.

use proptest::prelude::*;

use super::*;

fn switched(time_ns: u64, tid: u32, on_cpu: bool, preempted: bool) -> Record {
    Record::Switch(Switch { time_ns, tid, on_cpu, preempted })
}

fn on(time_ns: u64) -> Record {
    switched(time_ns, 1, true, false)
}

fn preempted(time_ns: u64) -> Record {
    switched(time_ns, 1, false, true)
}

fn blocked(time_ns: u64) -> Record {
    switched(time_ns, 1, false, false)
}

fn sampled(time_ns: u64) -> Record {
    let none = Vec::new;
    Record::Sample(crate::CpuSample {
        time_ns,
        tid: 1,
        registers: None,
        user_chain: none(),
        kernel_chain: none(),
        stack: Vec::new(),
    })
}

fn told(records: &[Record]) -> ThreadStates {
    let mut presence = ThreadStates::new();
    records.iter().for_each(|record| presence.observe(record));
    presence
}

#[test]
fn switches_change_the_state_from_their_time_on() {
    let presence = told(&[on(10), preempted(20), on(30), blocked(45)]);
    let states = [10, 19, 20, 29, 30, 44, 45, 1000].map(|time| presence.state_at(1, time));
    use ThreadState::{Blocked, OnCpu, Preempted};
    assert_eq!(states, [OnCpu, OnCpu, Preempted, Preempted, OnCpu, OnCpu, Blocked, Blocked]);
    let times = presence.times(1, 15, 50);
    assert_eq!(times, ThreadTimes { on_cpu_ns: 5 + 15, preempted_ns: 10, blocked_ns: 5, unknown_ns: 0, gone_ns: 0 });
    assert_eq!(presence.times(1, 31, 32), ThreadTimes { on_cpu_ns: 1, ..ThreadTimes::default() });
    assert_eq!(presence.times(1, 50, 50), ThreadTimes::default());
    assert_eq!(presence.times(1, 50, 40), ThreadTimes::default(), "no time at all");
}

#[test]
fn a_thread_never_heard_of_is_unknown() {
    let presence = told(&[on(10)]);
    assert_eq!(presence.state_at(2, 10), ThreadState::Unknown);
    assert_eq!(presence.times(2, 5, 15), ThreadTimes { unknown_ns: 10, ..ThreadTimes::default() });
}

#[test]
fn the_first_record_tells_what_was_before() {
    let found = |runnable| Record::ThreadFound { time_ns: 5, tid: 1, runnable };
    let before = |records: &[Record]| told(records).state_at(1, 7);
    assert_eq!(before(&[blocked(10)]), ThreadState::OnCpu);
    assert_eq!(before(&[preempted(10)]), ThreadState::OnCpu);
    assert_eq!(before(&[sampled(10)]), ThreadState::OnCpu);
    assert_eq!(before(&[on(10)]), ThreadState::Unknown, "off, but why?");
    assert_eq!(before(&[found(true), on(10)]), ThreadState::Preempted);
    assert_eq!(before(&[found(false), on(10)]), ThreadState::Blocked);
    assert_eq!(before(&[found(true), sampled(10)]), ThreadState::OnCpu);
    assert_eq!(before(&[found(true)]), ThreadState::Unknown, "running or waiting for a CPU");
    assert_eq!(before(&[found(false)]), ThreadState::Blocked);
}

#[test]
fn samples_add_nothing_to_switches() {
    let presence = told(&[on(10), sampled(15), blocked(20), on(30)]);
    assert_eq!(presence.times(1, 10, 40), ThreadTimes { on_cpu_ns: 20, blocked_ns: 10, ..ThreadTimes::default() });
}

#[test]
fn threads_begin_and_end() {
    let presence =
        told(&[Record::ThreadStart { time_ns: 10, tid: 1 }, on(12), Record::ThreadExit { time_ns: 20, tid: 1 }]);
    let states = [9, 10, 12, 20].map(|time| presence.state_at(1, time));
    assert_eq!(states, [ThreadState::Gone, ThreadState::Preempted, ThreadState::OnCpu, ThreadState::Gone]);
    assert_eq!(
        presence.times(1, 0, 30),
        ThreadTimes { gone_ns: 20, preempted_ns: 2, on_cpu_ns: 8, ..ThreadTimes::default() }
    );
}

#[test]
fn a_record_that_comes_late_is_put_in_its_place() {
    let presence = told(&[on(10), on(30), blocked(20)]);
    assert_eq!(presence.times(1, 10, 40), ThreadTimes { on_cpu_ns: 20, blocked_ns: 10, ..ThreadTimes::default() });
    let presence = told(&[on(12), Record::ThreadStart { time_ns: 10, tid: 1 }]);
    assert_eq!(
        [9, 11, 12].map(|time| presence.state_at(1, time)),
        [ThreadState::Gone, ThreadState::Preempted, ThreadState::OnCpu]
    );
}

#[test]
fn what_was_lost_is_unknown_until_the_next_record() {
    let lost = Record::Lost(Lost { count: 3, since_ns: 20, until_ns: 30, switches: true });
    let presence = told(&[on(10), switched(25, 2, true, false), lost, blocked(35)]);
    assert_eq!(
        [19, 20, 34, 35].map(|time| presence.state_at(1, time)),
        [ThreadState::OnCpu, ThreadState::Unknown, ThreadState::Unknown, ThreadState::Blocked]
    );
    assert_eq!(presence.state_at(2, 26), ThreadState::Unknown, "its record in another ring may be one of several");
    assert_eq!(
        presence.times(1, 10, 40),
        ThreadTimes { on_cpu_ns: 10, unknown_ns: 15, blocked_ns: 5, ..ThreadTimes::default() }
    );
}

#[test]
fn lost_samples_change_nothing() {
    let lost = Record::Lost(Lost { count: 3, since_ns: 20, until_ns: 30, switches: false });
    assert_eq!(told(&[on(10), lost]).state_at(1, 25), ThreadState::OnCpu);
}

#[test]
fn a_thread_that_has_ended_stays_so_whatever_was_lost() {
    let lost = Record::Lost(Lost { count: 3, since_ns: 20, until_ns: 30, switches: true });
    let presence = told(&[on(10), Record::ThreadExit { time_ns: 15, tid: 1 }, lost]);
    assert_eq!(presence.state_at(1, 40), ThreadState::Gone);
}

#[test]
fn forgetting_keeps_the_state_and_drops_ended_threads() {
    let mut presence = told(&[on(10), blocked(20), on(30), switched(5, 2, true, false)]);
    presence.observe(&Record::ThreadExit { time_ns: 15, tid: 2 });
    presence.forget_before(25);
    assert_eq!(presence.state_at(1, 25), ThreadState::Blocked);
    assert_eq!(presence.times(1, 25, 40), ThreadTimes { on_cpu_ns: 10, blocked_ns: 5, ..ThreadTimes::default() });
    assert_eq!(presence.threads.len(), 1);
    // A late record about what was forgotten does not rewrite what is known.
    presence.observe(&preempted(24));
    assert_eq!(presence.state_at(1, 22), ThreadState::Blocked);
}

#[test]
fn exec_and_unknown_ids_leave_nothing() {
    assert!(told(&[on(10), Record::Exec { time_ns: 20 }]).threads.is_empty());
    assert!(told(&[switched(10, 0, true, false)]).threads.is_empty());
}

#[test]
fn memory_is_bounded() {
    let mut presence = ThreadStates::new();
    for time in 0..MAX_CHANGES as u64 + 100 {
        presence.observe(&if time % 2 == 0 { on(time) } else { blocked(time) });
    }
    assert_eq!(presence.threads[&1].changes.len(), MAX_CHANGES);
    assert_eq!(presence.state_at(1, MAX_CHANGES as u64 + 98), ThreadState::OnCpu);
}

proptest! {
    /// Whatever the records and their order, the times of an interval add up to it.
    #[test]
    fn times_add_up(
        records in prop::collection::vec((0_u8..7, 0_u64..100), 0..60),
        (from, length) in (0_u64..100, 0_u64..100),
    ) {
        let presence = told(&records.iter().map(|&(kind, time_ns)| match kind {
            0 => on(time_ns),
            1 => preempted(time_ns),
            2 => blocked(time_ns),
            3 => sampled(time_ns),
            4 => Record::ThreadStart { time_ns, tid: 1 },
            5 => Record::ThreadExit { time_ns, tid: 1 },
            _ => Record::Lost(Lost { count: 1, since_ns: time_ns, until_ns: time_ns + 10, switches: true }),
        }).collect::<Vec<_>>());
        let times = presence.times(1, from, from + length);
        let sum = times.on_cpu_ns + times.preempted_ns + times.blocked_ns + times.unknown_ns + times.gone_ns;
        prop_assert_eq!(sum, length);
        for (state, ns) in [(ThreadState::OnCpu, times.on_cpu_ns), (ThreadState::Blocked, times.blocked_ns)] {
            let stepwise = (from..from + length).filter(|&time| presence.state_at(1, time) == state).count() as u64;
            prop_assert_eq!(stepwise, ns);
        }
    }
}
