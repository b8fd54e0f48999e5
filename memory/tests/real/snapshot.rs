//! Recording a process and replaying it.

use fgspy_gobin::Source;
use fgspy_memory::{Facts, Memory, Process, Range, Recorder, Snapshot};
use libtest_mimic::{Failed, Trial};

use crate::child::{PAGE, PAGES};
use crate::spawn::Target;
use crate::test;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("snapshot: replays what was read", replays),
        test("snapshot: the last answer wins", last_answer_wins),
        test("snapshot: captures around holes", captures),
    ]
}

fn batch(memory: &impl Memory, ranges: &[Range]) -> (Vec<u8>, Vec<usize>) {
    let (mut buf, mut got) = (vec![0xee; 10], Vec::new());
    memory.read_ranges(ranges, &mut buf, &mut got).unwrap();
    (buf, got)
}

fn replays() -> Result<(), Failed> {
    let mut target = Target::role("holes");
    let base = target.numbers()[0];
    let process = Process::open(target.pid())?;
    let memory = Recorder::new(process.memory());
    let exe = Recorder::new(process.exe().try_clone()?);
    let (memory_tape, exe_tape, exe_len) = (memory.tape(), exe.tape(), exe.len());
    let page = PAGE as u64;
    let range = |addr, len| Range { addr, len };
    let ranges = [
        range(base + 8, 16),
        range(base + 20, 40),             // overlaps
        range(base + 60, 4),              // touches
        range(base + 2 * page, 2 * PAGE), // half a hole
        range(base + 5 * page, 8),        // all hole
        range(u64::MAX - 3, 8),
    ];
    let live = batch(&memory, &ranges);
    let header = exe.read(0, 64).ok_or("header")?.into_owned();
    let facts = Facts::of(&process);
    drop((process, target));

    let snapshot = Snapshot::new(facts.clone(), &memory_tape, &exe_tape, exe_len);
    let loaded = Snapshot::load(&snapshot.to_bytes()?)?;
    assert_eq!(loaded, snapshot);
    assert_eq!(batch(&loaded, &ranges), live);
    assert_eq!(live.1, [16, 40, 4, PAGE, 0, 0]);
    let recorded: Vec<Range> = loaded.recorded_ranges().collect();
    assert_eq!(recorded, [range(base + 8, 56), range(base + 2 * page, PAGE)]);
    assert_eq!(loaded.recorded_bytes(), 56 + PAGE);
    assert_eq!(loaded.read_u64(base), Ok(None), "not recorded");
    assert_eq!(loaded.read_u64(base + 16).ok().flatten(), memory_word(&live.0, 8));
    let exe = loaded.exe();
    assert_eq!((exe.len(), exe.read(0, 64).as_deref()), (exe_len, Some(&header[..])));
    assert_eq!((exe.read(1, 64), exe.read(exe_len, 1), exe.read(u64::MAX, 1)), (None, None, None));

    assert_eq!(loaded.facts(), &facts);
    assert_eq!(facts.threads.len(), 1);
    assert_eq!(Some(facts.exe_path.as_str()), std::env::current_exe()?.to_str());
    assert!(facts.load_bias.is_some());
    Ok(())
}

fn memory_word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn last_answer_wins() -> Result<(), Failed> {
    let mut target = Target::role("change");
    let addr = target.numbers()[0];
    let process = Process::open(target.pid())?;
    let memory = Recorder::new(process.memory());
    let mut tell = |line: &str| {
        target.say(line);
        assert_eq!(target.line(), "done");
    };
    let replayed = |memory: &Recorder<_>| {
        Snapshot::new(Facts::default(), &memory.tape(), &memory.tape(), 0).read_u64(addr).unwrap()
    };
    for value in [7, 8] {
        tell(&value.to_string());
        assert_eq!(memory.read_u64(addr), Ok(Some(value)));
        assert_eq!(replayed(&memory), Some(value));
    }
    tell("9");
    assert_eq!(replayed(&memory), Some(8), "not read again");
    tell("unmap");
    assert_eq!(memory.read_u64(addr), Ok(None));
    assert_eq!(replayed(&memory), None);
    Ok(())
}

fn captures() -> Result<(), Failed> {
    let mut target = Target::role("holes");
    let base = target.numbers()[0];
    let process = Process::open(target.pid())?;
    let memory = Recorder::new(process.memory());
    memory.capture(&[Range { addr: base + 8, len: PAGES * PAGE - 8 }])?;
    let snapshot = Snapshot::new(Facts::default(), &memory.tape(), &memory.tape(), 0);
    assert_eq!(snapshot.recorded_bytes(), PAGES / 2 * PAGE - 8);
    assert_eq!(snapshot.recorded_ranges().count(), PAGES / 2);
    assert_eq!(memory.tape().dropped_bytes(), 0);
    let words: Vec<Range> = (0..PAGES * PAGE / 8).map(|i| Range { addr: base + 8 * i as u64, len: 8 }).collect();
    let (live, replayed) = (batch(&process.memory(), &words), batch(&snapshot, &words));
    assert_eq!((replayed.0[..8].to_vec(), replayed.1[0]), (vec![0; 8], 0), "the word before what was captured");
    assert!(live.0[8..] == replayed.0[8..] && live.1[1..] == replayed.1[1..]);
    Ok(())
}
