//! A report is written whole or not at all, for its owner only.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::common::{fgspy, folder, names, run, zoo};

#[test]
fn a_report_takes_the_place_of_an_old_one_and_is_private() {
    let (zoo, _) = zoo(&[]);
    let work = folder();
    let file = work.path().join("report.txt");
    std::fs::write(&file, "old").unwrap();
    let mut command = fgspy();
    command
        .args(["requests", "-p", &zoo.pid().to_string(), "-d", "100ms", "-o", "report.txt"])
        .current_dir(work.path());
    run(command).succeeded();
    assert_ne!(std::fs::read_to_string(&file).unwrap(), "old");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(work.path()), ["report.txt"]);
}

#[test]
fn a_report_that_has_no_room_is_saved_elsewhere_and_the_old_one_stays() {
    let (zoo, _) = zoo(&[]);
    let (work, temporary) = (folder(), folder());
    std::fs::write(work.path().join("report.json"), "old").unwrap();
    let mut command = Command::new("prlimit");
    command.args(["--fsize=10", env!("CARGO_BIN_EXE_fgspy"), "requests", "-p", &zoo.pid().to_string(), "-d", "100ms"]);
    command.args(["--json", "-o", "report.json"]).current_dir(work.path()).env("TMPDIR", temporary.path());
    let outcome = run(command);
    assert_eq!(outcome.code(), 6, "{}", outcome.stderr);
    outcome.says(
        "report.json could not be written: File too large (os error 27)\n  nor could the report be saved elsewhere\n",
    );
    assert_eq!((names(work.path()), names(temporary.path())), (vec!["report.json".to_owned()], vec![]));
    assert_eq!(std::fs::read_to_string(work.path().join("report.json")).unwrap(), "old");
    // A device that is full: the report is in the folder for temporary files.
    let mut command = fgspy();
    command.args(["requests", "-p", &zoo.pid().to_string(), "-d", "100ms", "--json", "-o", "/dev/full"]);
    command.env("TMPDIR", temporary.path());
    let outcome = run(command);
    assert_eq!(outcome.code(), 6, "{}", outcome.stderr);
    let saved = names(temporary.path());
    let [saved] = saved.as_slice() else { panic!("{saved:?}") };
    let path = temporary.path().join(saved);
    outcome.says(&format!(
        "fgspy: /dev/full could not be written: No space left on device (os error 28)\n  the report was saved to {}\n",
        path.display()
    ));
    assert!(std::fs::read_to_string(&path).unwrap().ends_with("}\n"));
}
