//! From a plan to probes.

pub(crate) mod cpus;
mod object;
pub(crate) mod ring;
pub(crate) mod sys;

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use crate::shared::constants::NOTHING;
use crate::shared::tables::MapSpec;
use crate::shared::{self, Config, Shared};
use crate::{Dfa, Plan, TraceError, error};
use object::Program;
use sys::READ_ONLY;

const ARRAY: u32 = 2;
const LICENSE: &std::ffi::CStr = c"Dual MIT/GPL";
/// The most probes that are set: many more than there are kinds.
const MAX_PROBES: usize = 1024;
/// Bytes of a verifier's log that are shown.
const LOG_SHOWN: usize = 2000;

/// A map of the program's.
#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) fd: OwnedFd,
    pub(crate) spec: MapSpec,
}

/// A program that was loaded, and its maps.
#[derive(Debug)]
pub(crate) struct Loaded {
    program: OwnedFd,
    maps: Vec<(String, Map)>,
}

/// Loads the program as the plan wants it.
pub(crate) fn load(plan: &Plan) -> Result<Loaded, TraceError> {
    check(plan)?;
    let release = error::release();
    if !is_recent(&release) {
        return Err(TraceError::TooOld { release });
    }
    let program =
        object::parse(object::OBJECT.ok_or(TraceError::Architecture)?).map_err(|_| TraceError::Architecture)?;
    let specs = program.maps.iter().map(|(name, spec)| (name, sized(name, *spec, plan)));
    let mut maps = Vec::new();
    for (name, spec) in specs {
        let fd = sys::create_map(spec).map_err(|source| TraceError::of("creating a map", source))?;
        maps.push((name.clone(), Map { fd, spec }));
    }
    if let Some(dfa) = plan.options.filter.as_ref().and_then(|filter| filter.dfa.as_ref())
        && let Some((_, map)) = maps.iter().find(|(name, _)| name == "dfa")
    {
        let mut table: Vec<u8> = dfa.table.iter().flat_map(|cell| cell.to_ne_bytes()).collect();
        table.resize(map.spec.value_size as usize, 0);
        sys::update(&map.fd, map.spec, &[0; 4], &table).map_err(|source| TraceError::of("filling a map", source))?;
    }
    let constants = constants(&program, plan)?;
    let (fds, maps): (Vec<OwnedFd>, Vec<(String, MapSpec)>) =
        maps.into_iter().map(|(name, map)| (map.fd, (name, map.spec))).unzip();
    let code = program.linked(&fds, &constants).ok_or(TraceError::Plan("the object is damaged"))?;
    let loaded = sys::load(&code, LICENSE).map_err(|(source, log)| refusal(source, &log))?;
    let maps = maps.into_iter().zip(fds).map(|((name, spec), fd)| (name, Map { fd, spec })).collect();
    Ok(Loaded { program: loaded, maps })
}

fn check(plan: &Plan) -> Result<(), TraceError> {
    let options = &plan.options;
    if plan.probes.is_empty() || plan.probes.len() > MAX_PROBES {
        return Err(TraceError::NoSites);
    }
    if !options.ring_bytes.is_power_of_two() || options.ring_bytes < 4096 || options.max_goroutines == 0 {
        return Err(TraceError::Plan("the ring's size is a power of two, and some goroutines must be known"));
    }
    let filter = options.filter.as_ref();
    let dfa = filter.and_then(|filter| filter.dfa.as_ref());
    if dfa.is_some_and(|dfa| dfa.table.len() > Dfa::MAX_CELLS || dfa.classes == 0) {
        return Err(TraceError::Plan("the pattern for requests is too large"));
    }
    if !shared::are_within_blocks(&plan.offsets) {
        return Err(TraceError::Plan("this version's requests are laid out as none before"));
    }
    let trace = filter.and_then(|filter| filter.trace.as_deref());
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if trace.is_some_and(|trace| trace.is_empty() || trace.len() > 32 || !is_hex(trace)) {
        return Err(TraceError::Plan("a trace id is 1 to 32 hexadecimal digits"));
    }
    Ok(())
}

/// Whether a kernel runs the program for all threads of a process. Before Linux 6.10 a link for one process lets only one of
/// its threads through (commit 46ba0e49b642, "bpf: fix multi-uprobe PID filtering logic"): a trace would miss most and not say so.
fn is_recent(release: &str) -> bool {
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(10))
}

/// What the plan says of a map's size.
fn sized(name: &str, spec: MapSpec, plan: &Plan) -> MapSpec {
    match name {
        "ring" => MapSpec { max_entries: plan.options.ring_bytes, ..spec },
        "goroutines" => MapSpec { max_entries: plan.options.max_goroutines, ..spec },
        _ => spec,
    }
}

/// The map of the program's constants, which begin with the configuration.
fn constants(program: &Program, plan: &Plan) -> Result<OwnedFd, TraceError> {
    let mut value = program.constants.clone();
    let config = Config::of(plan).to_bytes();
    let place = value.get_mut(..config.len()).ok_or(TraceError::Plan("the object is damaged"))?;
    place.copy_from_slice(&config);
    let spec = MapSpec { kind: ARRAY, key_size: 4, value_size: value.len() as u32, max_entries: 1, flags: READ_ONLY };
    let fd = sys::create_map(spec).map_err(|source| TraceError::of("creating a map", source))?;
    sys::update(&fd, spec, &[0; 4], &value).map_err(|source| TraceError::of("filling a map", source))?;
    // So that the verifier may take them for what they are, and leave out what they rule out.
    sys::freeze_map(&fd).map_err(|source| TraceError::of("freezing a map", source))?;
    Ok(fd)
}

fn refusal(source: io::Error, log: &str) -> TraceError {
    match source.raw_os_error() {
        // By signals, again and again.
        Some(libc::EPERM | libc::EAGAIN | libc::EINTR) => TraceError::of("loading the program", source),
        Some(libc::EINVAL) if log.is_empty() => TraceError::TooOld { release: error::release() },
        _ => {
            let shown = log.len().saturating_sub(LOG_SHOWN);
            let shown = (shown..log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(log.len());
            TraceError::Refused { source, log: log.get(shown..).unwrap_or_default().to_owned() }
        }
    }
}

impl Loaded {
    /// One of the program's maps.
    pub(crate) fn map(&self, name: &str) -> Result<&Map, TraceError> {
        let found = self.maps.iter().find(|(of, _)| of == name);
        found.map(|(_, map)| map).ok_or(TraceError::Plan("the object is damaged"))
    }

    /// Sets the probes. They are gone when what is returned is.
    pub(crate) fn attach(&self, plan: &Plan) -> Result<OwnedFd, TraceError> {
        let path =
            CString::new(plan.exe.as_os_str().as_bytes()).map_err(|_| TraceError::Plan("the path has a zero byte"))?;
        let offsets: Vec<u64> = plan.probes.iter().map(|probe| probe.file_offset).collect();
        let cookies: Vec<u64> = plan.probes.iter().map(|probe| probe.kind as u64).collect();
        sys::attach(&self.program, &path, &offsets, &cookies, plan.pid).map_err(|source| match source.raw_os_error() {
            Some(libc::ESRCH) => TraceError::TargetGone { pid: plan.pid },
            Some(libc::EPERM | libc::EACCES) => TraceError::of("setting probes", source),
            // The executable is named through the process's folder in `/proc`.
            Some(libc::ENOENT) if !plan.exe.exists() => TraceError::TargetGone { pid: plan.pid },
            _ => TraceError::Attach { path: plan.exe.clone(), source },
        })
    }

    /// Sets a probe at an instruction of this process, where the program does nothing.
    pub(crate) fn attach_to_self(&self, file_offset: u64) -> Result<OwnedFd, TraceError> {
        sys::attach(&self.program, c"/proc/self/exe", &[file_offset], &[NOTHING], std::process::id())
            .map_err(|source| TraceError::of("setting a probe at fgspy itself", source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_that_let_one_thread_through_are_refused() {
        for (release, recent) in [
            ("6.10.0", true),
            ("6.18.44-fc", true),
            ("7.0.1", true),
            ("6.9.12", false),
            ("6.6.60-lts", false),
            ("5.15.0-91-generic", false),
            ("?", false),
        ] {
            assert_eq!(is_recent(release), recent, "{release}");
        }
    }
}
