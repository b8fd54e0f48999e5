//! What `fgspy requests` says, and where.

use std::fs::File;
use std::io::Read;
use std::sync::{Arc, Mutex};

use fgspy_fixtures::{Signal, wait_until};

use crate::common::terminal::Terminal;
use crate::common::{Running, fgspy, folder, run, zoo};

#[test]
fn a_program_without_a_server_is_told_from_one_without_traffic() {
    let (zoo, _) = zoo(&[]);
    let mut command = fgspy();
    command.args(["requests", "-p", &zoo.pid().to_string(), "-d", "300ms"]);
    let outcome = run(command).succeeded();
    let said = String::from_utf8(outcome.stdout).unwrap();
    assert!(said.contains("no request seen"), "{said}");
    assert!(
        said.contains("No HTTP or gRPC server was seen in this program.") && said.contains("fgspy record"),
        "{said}"
    );
    // It is no terminal: there is nothing but the report.
    assert!(!said.contains(['\u{1b}', '\r']) && outcome.stderr.is_empty(), "{said}{}", outcome.stderr);
}

#[test]
fn who_cannot_be_watched_is_refused_in_the_words_of_record() {
    for pid in [u32::MAX, std::process::id()] {
        let refused = |arguments: &[&str]| {
            let folder = folder();
            let mut command = fgspy();
            command.args(arguments).args(["-p", &pid.to_string(), "-d", "1s"]).current_dir(folder.path());
            let outcome = run(command);
            (outcome.code(), outcome.stdout, outcome.stderr)
        };
        let (code, stdout, stderr) = refused(&["requests"]);
        assert_eq!((code, stdout, stderr), refused(&["record"]));
        assert_eq!(code, if pid == u32::MAX { 3 } else { 4 });
    }
}

#[test]
fn a_report_goes_where_it_is_told_to() {
    let (zoo, _) = zoo(&[]);
    let folder = folder();
    let requests = |output: &str| {
        let mut command = fgspy();
        command.args(["requests", "-p", &zoo.pid().to_string(), "-d", "200ms", "--json", "-o", output]);
        command.current_dir(folder.path());
        command
    };
    let outcome = run(requests("report.json")).succeeded();
    assert!(outcome.stdout.is_empty() && outcome.stderr.is_empty());
    let report: serde_json::Value =
        serde_json::from_reader(File::open(folder.path().join("report.json")).unwrap()).unwrap();
    assert_eq!(report["target"]["pid"], zoo.pid());
    let place = folder.path().display().to_string();
    let outcome = run(requests(&place));
    assert_eq!(outcome.code(), 6);
    outcome.says("cannot be written: it is a folder");
    let outcome = run(requests("/dev/full"));
    assert_eq!(outcome.code(), 6);
    outcome.says("/dev/full could not be written: No space left on device (os error 28)");
}

#[test]
fn a_terminal_shows_how_it_goes_until_ctrl_c_and_then_the_report() {
    let (zoo, _) = zoo(&[]);
    for no_color in ["", "1"] {
        let terminal = Terminal::open();
        let mut command = fgspy();
        command.args(["requests", "-p", &zoo.pid().to_string()]).env("TERM", "xterm").env("NO_COLOR", no_color);
        let mut running = Running::start({
            command.stdout(terminal.inner);
            command
        });
        let shown: Arc<Mutex<Vec<u8>>> = Arc::default();
        let reader = std::thread::spawn({
            let (shown, mut outer) = (Arc::clone(&shown), terminal.outer);
            move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = outer.read(&mut bytes) {
                    shown.lock().unwrap().extend_from_slice(&bytes[..count]);
                }
            }
        });
        let text = || String::from_utf8_lossy(&shown.lock().unwrap()).into_owned();
        // Drawn, and drawn again in the same place.
        wait_until("it is drawn twice", || Ok(text().matches("Ctrl-C to end").count() >= 2)).unwrap();
        running.signal(Signal::INT);
        running.wait().succeeded();
        reader.join().unwrap();
        let text = text();
        assert!(text.contains("No request seen yet.") && text.contains("\r\u{1b}[3A\u{1b}[J"), "{text:?}");
        let (_, report) = text.rsplit_once("\u{1b}[J").unwrap();
        assert!(report.contains("no request seen") && !report.contains("Ctrl-C to end"), "{report:?}");
        assert_eq!(text.contains("\u{1b}[1m"), no_color.is_empty(), "{text:?}");
    }
}
