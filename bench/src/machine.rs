//! Where and with what a measurement was made.

use std::fs;
use std::process::Command;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use fgspy_fixtures::workspace;

/// The circumstances of a measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Circumstances {
    date: String,
    cpu: String,
    cores: usize,
    virtual_machine: bool,
    memory_gib: u64,
    kernel: String,
    /// The load average of the last minute before it began.
    load: String,
    fgspy: String,
    go: Vec<String>,
    fgprof: Option<String>,
}

impl Circumstances {
    /// Those of now, with this version of fgspy, these of Go and, where it was measured too, this one of fgprof.
    pub(crate) fn now(fgspy: &str, go_versions: &[&str], fgprof: Option<String>) -> Circumstances {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let field = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name));
            line.and_then(|line| line.split_once(':')).map_or("?".to_owned(), |(_, value)| value.trim().to_owned())
        };
        let memory_kib = read("/proc/meminfo").split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0);
        Circumstances {
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            cpu: format!("{} (family {}, model {})", field("model name"), field("cpu family"), field("model")),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            virtual_machine: field("flags").split(' ').any(|flag| flag == "hypervisor"),
            memory_gib: (memory_kib + (1 << 19)) >> 20,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: read("/proc/loadavg").split(' ').next().unwrap_or("?").to_owned(),
            fgspy: fgspy.to_owned(),
            go: go_versions.iter().map(|version| (*version).to_owned()).collect(),
            fgprof,
        }
    }

    /// Tells the user when others were using the machine.
    pub(crate) fn warn_of_load(&self) {
        if self.load.parse::<f64>().is_ok_and(|load| load > 0.5) {
            eprintln!("The load average is {}: whatever else runs now is in what is measured. Better wait.", self.load);
        }
    }

    /// In a sentence or two.
    pub(crate) fn describe(&self) -> String {
        format!(
            "{date} on {cpu}, {cores} cores{virtual_machine}, {memory} GiB, Linux {kernel}; load average before: {load}. \
             fgspy {fgspy}, {go}{fgprof}.",
            date = self.date,
            cpu = self.cpu,
            cores = self.cores,
            virtual_machine = if self.virtual_machine { " of a virtual machine" } else { "" },
            memory = self.memory_gib,
            kernel = self.kernel,
            load = self.load,
            fgspy = self.fgspy,
            go = self.go.join(" and "),
            fgprof = self.fgprof.as_ref().map_or(String::new(), |version| format!(", fgprof {version}")),
        )
    }
}

/// The commit that is checked out, with `-dirty` if files of programs differ from it.
pub(crate) fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(workspace::root()).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["describe", "--always", "--dirty", "--exclude", "*"]);
    commit.map_or("not from git".to_owned(), |commit| format!("of commit {commit}"))
}
