//! The words and classes that users see.

use fgspy_profile::{Class, State, WaitClass};

/// Every wait reason of Go 1.17 to 1.27 (`waitReasonStrings` in `runtime/runtime2.go`) with the class a person puts it in.
const REASONS: &[(&str, WaitClass)] = &[
    ("", WaitClass::Other),
    ("GC assist marking", WaitClass::Gc),
    ("IO wait", WaitClass::Network),
    ("chan receive (nil chan)", WaitClass::Chan),
    ("chan send (nil chan)", WaitClass::Chan),
    ("dumping heap", WaitClass::Other),
    ("garbage collection", WaitClass::Gc),
    ("garbage collection scan", WaitClass::Gc),
    ("panicwait", WaitClass::Other),
    ("select", WaitClass::Select),
    ("select (no cases)", WaitClass::Select),
    ("GC assist wait", WaitClass::Gc),
    ("GC sweep wait", WaitClass::Gc),
    ("GC scavenge wait", WaitClass::Gc),
    ("chan receive", WaitClass::Chan),
    ("chan send", WaitClass::Chan),
    ("finalizer wait", WaitClass::Gc),
    ("force gc (idle)", WaitClass::Gc),
    ("GOMAXPROCS updater (idle)", WaitClass::Other),
    ("semacquire", WaitClass::Sync),
    ("sleep", WaitClass::Sleep),
    ("sync.Cond.Wait", WaitClass::Sync),
    ("sync.Mutex.Lock", WaitClass::Mutex),
    ("sync.RWMutex.RLock", WaitClass::Mutex),
    ("sync.RWMutex.Lock", WaitClass::Mutex),
    ("sync.WaitGroup.Wait", WaitClass::Sync),
    ("timer goroutine (idle)", WaitClass::Other),
    ("trace reader (blocked)", WaitClass::Other),
    ("wait for GC cycle", WaitClass::Gc),
    ("GC worker (idle)", WaitClass::Gc),
    ("GC worker (active)", WaitClass::Gc),
    ("GC background sweeper wait", WaitClass::Gc),
    ("preempted", WaitClass::Other),
    ("debug call", WaitClass::Other),
    ("GC mark termination", WaitClass::Gc),
    ("stopping the world", WaitClass::Other),
    ("flushing proc caches", WaitClass::Gc),
    ("trace goroutine status", WaitClass::Other),
    ("trace proc status", WaitClass::Other),
    ("page trace flush", WaitClass::Other),
    ("coroutine", WaitClass::Sync),
    ("GC weak to strong wait", WaitClass::Gc),
    ("synctest.Run", WaitClass::Sync),
    ("synctest.Wait", WaitClass::Sync),
    ("chan receive (durable)", WaitClass::Chan),
    ("chan send (durable)", WaitClass::Chan),
    ("select (durable)", WaitClass::Select),
    ("sync.WaitGroup.Wait (durable)", WaitClass::Sync),
    ("cleanup wait", WaitClass::Gc),
    ("a reason that does not exist yet", WaitClass::Other),
];

#[test]
fn every_wait_reason_has_its_class() {
    let got: Vec<(&str, WaitClass)> = REASONS.iter().map(|&(reason, _)| (reason, WaitClass::of(reason))).collect();
    assert_eq!(got, REASONS);
}

#[test]
fn states_are_found_by_their_words() {
    for state in State::ALL {
        assert_eq!(State::from_word(state.word()), Some(state));
    }
    assert_eq!(State::from_word("running-off-cpu"), Some(State::RunningOffCpu));
    assert_eq!(State::from_word("Running_Off_CPU"), Some(State::RunningOffCpu));
    assert_eq!(State::from_word(" waiting "), Some(State::Waiting));
    assert_eq!(State::from_word("idle"), None);
    assert_eq!(State::from_word(""), None);
}

#[test]
fn classes_are_states_and_wait_classes_under_the_same_words() {
    let words = |classes: &[Class]| classes.iter().map(|class| class.word()).collect::<Vec<_>>();
    let mut expected: Vec<&str> = State::ALL.iter().map(|s| s.word()).filter(|&word| word != "waiting").collect();
    expected.extend(WaitClass::ALL.iter().map(|class| class.word()));
    let mut got = words(&Class::ALL);
    got.sort_unstable();
    expected.sort_unstable();
    assert_eq!(got, expected);
    for (index, class) in Class::ALL.into_iter().enumerate() {
        assert_eq!(class.index(), index);
    }
}

#[test]
fn only_waiting_goroutines_have_a_wait_class() {
    assert_eq!(Class::of(State::Waiting, "sync.Mutex.Lock"), Class::Mutex);
    assert_eq!(Class::of(State::Running, "sync.Mutex.Lock"), Class::Running);
    assert_eq!(Class::of(State::Waiting, ""), Class::Other);
}
