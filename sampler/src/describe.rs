//! What a profile says about its target.

use fgspy_goroutines::GoProcess;
use fgspy_profile::Target;

/// What a profile says about its target.
pub fn describe(target: &GoProcess) -> Target {
    let GoProcess { process, runtime, .. } = target;
    Target {
        pid: process.pid(),
        // Where code, build id and version are from.
        executable: target.module_path().display().to_string(),
        // Arguments may hold secrets, and a profile is passed around: only the program's own name is kept.
        command: process.command_line().iter().take(1).cloned().collect(),
        go_version: runtime.version.to_string(),
        build_id: runtime.binary.build_id().unwrap_or_default().to_owned(),
        arch: runtime.binary.arch().name().to_owned(),
        text: runtime.binary.text_pages().map_or((0, 0, 0), |(start, limit, offset)| {
            (start.wrapping_add(runtime.bias), limit.wrapping_add(runtime.bias), offset)
        }),
    }
}
