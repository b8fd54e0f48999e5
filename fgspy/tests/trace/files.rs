//! Files are read by those that they are for.

use std::process::Command;

use crate::common::{fgspy, folder, newest, run};
use crate::{may_trace, service};

#[test]
fn pprof_is_read_by_go_tool_pprof() {
    let Some(_turn) = may_trace("pprof_is_read_by_go_tool_pprof") else { return };
    let ((service, load), folder) = (service(), folder());
    let path = folder.path().join("blocked.pb.gz");
    let mut command = fgspy();
    command.args(["trace", "-p", &service.fixture.pid().to_string(), "-d", "1s", "-f", "pprof", "-o"]).arg(&path);
    run(command).succeeded();
    load.end().unwrap();
    fgspy_fixtures::pprof::read(&std::fs::read(&path).unwrap()).unwrap();
    let pprof = |arguments: &[&str]| {
        let output = Command::new(newest().go()).args(["tool", "pprof"]).args(arguments).arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let top = pprof(&["-top", "-sample_index=time", "-nodecount=400", "-tagfocus=http.route=GET /lock"]);
    assert!(top.contains("main.lock") && !top.contains("main.sleep"), "{top}");
    let all = pprof(&["-top", "-sample_index=time", "-nodecount=400"]);
    assert!(all.contains("main.sleep") && all.contains("[waits shorter than 1.00 ms]"), "{all}");
}
