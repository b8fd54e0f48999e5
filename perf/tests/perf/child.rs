//! What the children do: obey commands on standard input, a line each, answered by a line.

use std::io::{BufRead, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::rights;

/// Names the part that a child has to play.
pub(crate) const ROLE: &str = "FGSPY_KERNEL_TEST_ROLE";

/// Plays a part and tells so, if this process is a child.
pub(crate) fn run_if_told() -> bool {
    let Ok(role) = std::env::var(ROLE) else { return false };
    match role.as_str() {
        "obey" => obey(),
        "spin" => spin_while_wanted(),
        observer => rights::observe(observer),
    }
    true
}

fn obey() {
    let stop = Arc::new(AtomicBool::new(false));
    let mut offspring = Vec::new();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let (command, number) = line.split_once(' ').unwrap_or((&line, "0"));
        let number: u32 = number.parse().expect("a number");
        let answer = match command {
            "spin" => start(number, &stop, |stop| until(stop, || spin_for(Duration::from_micros(100)))),
            "syscall" => start(number, &stop, |stop| until(stop, read_zeros)),
            "burst" => start(number, &stop, |stop| {
                until(stop, || {
                    spin_for(Duration::from_millis(1));
                    thread::sleep(Duration::from_millis(1));
                });
            }),
            "doze" => start(number, &stop, |stop| {
                until(stop, || {
                    spin_for(Duration::from_micros(200));
                    thread::sleep(Duration::from_millis(20));
                });
            }),
            "yield" => start(number, &stop, |stop| until(stop, || thread::sleep(Duration::from_nanos(1)))),
            "park" => start(number, &stop, |stop| until(stop, || thread::sleep(Duration::from_secs(1)))),
            "grow" => grow(number, &stop),
            "beget" => {
                let child = beget();
                let pid = child.id().to_string();
                offspring.push(child);
                pid
            }
            "exec" => panic!("{}", Command::new("sleep").arg("1000").exec()),
            "quit" => break,
            other => panic!("unknown command {other}"),
        };
        println!("{answer}");
        std::io::stdout().flush().expect("the parent reads");
    }
    for mut child in offspring {
        child.wait().expect("it ends as its standard input closes");
    }
}

/// Starts threads that do `work` and answers with their ids.
fn start(count: u32, stop: &Arc<AtomicBool>, work: fn(&AtomicBool)) -> String {
    let (tell, told) = mpsc::channel();
    for _ in 0..count {
        let (stop, tell) = (Arc::clone(stop), tell.clone());
        thread::spawn(move || {
            tell.send(own_tid()).expect("the starter waits");
            work(&stop);
        });
    }
    told.iter().take(count as usize).map(|tid| tid.to_string()).collect::<Vec<_>>().join(" ")
}

/// Starts a thread that starts the next one a moment later, and so on; all of them then work in short bursts, so that
/// each of them is switched often. Answers at once.
fn grow(count: u32, stop: &Arc<AtomicBool>) -> String {
    fn next(left: Arc<AtomicU32>, stop: Arc<AtomicBool>) {
        if left.fetch_sub(1, Ordering::SeqCst) > 1 {
            let (left, stop) = (Arc::clone(&left), Arc::clone(&stop));
            thread::spawn(move || next(left, stop));
        }
        until(&stop, || {
            spin_for(Duration::from_micros(300));
            thread::sleep(Duration::from_millis(100));
        });
    }
    let (left, stop) = (Arc::new(AtomicU32::new(count)), Arc::clone(stop));
    thread::spawn(move || next(left, stop));
    "growing".to_owned()
}

/// Starts a process that spins until its standard input closes, which happens when this process ends, however it ends.
fn beget() -> Child {
    let own = std::env::current_exe().expect("own path");
    Command::new(own).env(ROLE, "spin").stdin(Stdio::piped()).spawn().expect("a grandchild")
}

fn spin_while_wanted() {
    let spinner = thread::spawn(|| {
        loop {
            spin_for(Duration::from_secs(1));
        }
    });
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    drop(spinner); // the end of the main thread ends it
}

fn until(stop: &AtomicBool, mut work: impl FnMut()) {
    while !stop.load(Ordering::Relaxed) {
        work();
    }
}

fn read_zeros() {
    let mut zeros = std::fs::File::open("/dev/zero").expect("/dev/zero");
    let mut buffer = vec![1; 1 << 20];
    for _ in 0..100 {
        zeros.read_exact(&mut buffer).expect("zeros never end");
    }
    std::hint::black_box(&buffer);
}

/// Spins in a function that is a frame of its own. Reads no clock in its inner loop, so that its samples are here.
#[inline(never)]
pub(crate) fn spin_for(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        for number in 0..1000_u32 {
            std::hint::black_box(number);
        }
    }
}

/// The id of this thread.
pub(crate) fn own_tid() -> u32 {
    let own = std::fs::read_link("/proc/thread-self").expect("procfs");
    own.file_name().and_then(|tid| tid.to_str()).and_then(|tid| tid.parse().ok()).expect("a number")
}
