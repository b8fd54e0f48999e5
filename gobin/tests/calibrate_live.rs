//! Puts together the layout of a running process from its code and memory, as for a Go release that nobody knows yet, and
//! compares with the table.
//!
//! Builds `tests/calibrate_live` with every `go` command in `FGSPY_GO_TOOLCHAINS` (colon-separated), else with
//! `FGSPY_GO`, else with `go`.

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fgspy_gobin::anchors;
use fgspy_gobin::calibrate::{self, CodeCalibration, MSample};
use fgspy_gobin::layout::{GLayout, Layout, MLayout, status};

const G_BYTES: usize = 512;
const M_BYTES: usize = 512;
const PATIENCE: Duration = Duration::from_secs(20);

struct Process {
    child: Child,
    memory: File,
}

impl Process {
    fn start(program: &Path) -> Process {
        let child = Command::new(program).stdin(Stdio::piped()).spawn().unwrap();
        let memory = File::open(format!("/proc/{}/mem", child.id())).unwrap();
        Process { child, memory }
    }

    fn read(&self, address: u64, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.memory.read_exact_at(&mut bytes, address).ok()?;
        Some(bytes)
    }

    fn word(&self, address: u64) -> Option<u64> {
        Some(u64::from_le_bytes(self.read(address, 8)?.try_into().ok()?))
    }

    fn tids(&self) -> Vec<u32> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        tasks.map(|task| task.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
    }

    /// Addresses and contents of all goroutines.
    fn goroutines(&self, allgs: anchors::AllGs) -> Option<Vec<(u64, Vec<u8>)>> {
        let (len, array) = (self.word(allgs.allglen)?, self.word(allgs.allgptr)?);
        (0..len).map(|index| self.word(array + index * 8).and_then(|g| Some((g, self.read(g, G_BYTES)?)))).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(bytes: &[u8], offset: u32, len: usize) -> u64 {
    let offset = offset as usize;
    bytes[offset..offset + len].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[test]
fn a_process_of_an_unknown_release_is_calibrated() {
    let listed = common::paths_from_env("FGSPY_GO_TOOLCHAINS");
    let commands = if listed.is_empty() { vec![common::go()] } else { listed };
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    for go in commands {
        let mut build = Command::new(&go);
        build.args(["build", "-ldflags=-s -w", "-o"]).arg(&program).arg("main.go");
        build.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/calibrate_live"));
        build.envs([("CGO_ENABLED", "0"), ("GOENV", "off"), ("GOFLAGS", ""), ("GOTOOLCHAIN", "local")]);
        match build.output() {
            Ok(output) => assert!(output.status.success(), "{go:?}: {}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => {
                let reason = format!("cannot run {}: {error}", go.display());
                fgspy_fixtures::skip("a_process_of_an_unknown_release_is_calibrated", &reason);
                continue;
            }
        }
        calibrate(&program);
    }
}

fn calibrate(program: &Path) {
    let binary = common::open(program);
    let version = binary.version().unwrap();
    let allgs = anchors::find(&binary).unwrap().allgs;
    let code = CodeCalibration::of(&binary);
    let (goid, status, g_m) = (code.goid().unwrap(), code.atomicstatus.unwrap(), code.g_m.unwrap());
    let main = binary.func_named("runtime.main").unwrap().entry;

    let process = Process::start(program);
    let deadline = Instant::now() + PATIENCE;
    let (startpc, live) = loop {
        assert!(Instant::now() < deadline, "{version}: its goroutines did not block in system calls");
        std::thread::sleep(Duration::from_millis(2));
        let Some(goroutines) = process.goroutines(allgs) else { continue };
        let blocked = goroutines.iter().filter(|(_, g)| number(g, status, 4) == u64::from(status::SYSCALL));
        let threads: Vec<_> =
            blocked.filter_map(|(g, bytes)| Some((*g, process.read(number(bytes, g_m, 8), M_BYTES)?))).collect();
        if threads.len() < 3 {
            continue;
        }
        let samples: Vec<_> = threads.iter().map(|(g, m)| MSample { g: *g, m }).collect();
        let first = goroutines.iter().find(|(_, g)| number(g, goid, 8) == 1).unwrap();
        break (calibrate::startpc_offset(&first.1, goid, main), calibrate::m_offsets(&samples, &process.tids()));
    };

    let table = Layout::for_version(version, binary.arch()).unwrap();
    assert_eq!(live.procid, Some(table.m.procid), "{version}");
    assert_eq!(live.curg, Some(table.m.curg), "{version}");
    let found = calibrate::assemble(binary.arch(), &code, startpc, live).unwrap_or_else(|e| panic!("{version}: {e}"));
    println!("{version}: assumed {:?}", found.assumed);
    // Everything that is not named as assumed equals the table; the creator's number is newer than some releases.
    let GLayout { lockedm, size, parent_goid, .. } = found.layout.g;
    assert_eq!(found.layout.g, GLayout { lockedm, size, parent_goid, ..table.g }, "{version}");
    assert_eq!(found.layout.gobuf, table.gobuf, "{version}");
    let MLayout { ncgo, alllink, lockedg, vdso_sp, vdso_pc, size, .. } = found.layout.m;
    // Never measured: a wrong count would prove what is not so.
    let syscalltick = None;
    let expected = MLayout { syscalltick, ncgo, alllink, lockedg, vdso_sp, vdso_pc, size, ..table.m };
    assert_eq!(found.layout.m, expected, "{version}");
}
