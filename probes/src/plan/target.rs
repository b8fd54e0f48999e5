//! What the kernel must know of a Go program.

use std::path::PathBuf;

use crate::sites::{self, Cost};
use crate::{InnerRequest, Maps, OTHER, Offsets, Options, Plan, Probe, RUNNING, Reasons, SiteKind, TrapCost};
use fgspy_gobin::layout::{Layout, MapsLayout};
use fgspy_goroutines::Runtime;
use fgspy_profile::{Class, State};

use crate::number;

/// `URL.Path` (`net/url/url.go`, Go 1.17 to 1.27).
const URL_PATH: u32 = 56;
/// Entries of a bucket or a group (`runtime/map.go`, `internal/runtime/maps/group.go`).
const SLOTS: u32 = 8;
/// Bytes of a string, and of a slice of strings: what a header map's entries are.
const KEY: u32 = 16;
const VALUE: u32 = 24;

/// Reasons for which a goroutine is called waiting although it runs, on its thread's own stack, so that its own can be
/// scanned (`runtime.isWaitingForSuspendG`, `runtime/runtime2.go`).
const RUNS: [&str; 10] = [
    "stopping the world",
    "GC mark termination",
    "garbage collection",
    "garbage collection scan",
    "trace goroutine status",
    "trace proc status",
    "page trace flush",
    "GC assist marking",
    "GC worker (active)",
    "flushing proc caches",
];

/// A plan to trace process `pid`, whose program is `runtime`'s, with probes at `sites`.
pub fn plan(pid: u32, runtime: &Runtime, sites: &[sites::Site], options: Options) -> Plan {
    let wanted = sites.iter().filter(|site| options.states || !site.kind.is_of_states());
    Plan {
        pid,
        exe: PathBuf::from(format!("/proc/{pid}/exe")),
        probes: wanted.map(|site| Probe { kind: site.kind, file_offset: site.file_offset }).collect(),
        offsets: offsets(&runtime.layout),
        classes: classes(&runtime.wait_reasons),
        reasons: Reasons {
            coroutine: reason(&runtime.wait_reasons, "coroutine"),
            preempted: reason(&runtime.wait_reasons, "preempted"),
        },
        options,
    }
}

/// What a trap takes at each kind of site, in nanoseconds, in the order of [`SiteKind::ALL`].
pub fn trap_ns(sites: &[sites::Site], traps: TrapCost) -> [f64; SiteKind::ALL.len()] {
    SiteKind::ALL.map(|of| {
        let is_stepped = |site: &&sites::Site| site.kind == of && site.cost == Cost::SingleStepped;
        if sites.iter().any(|site| is_stepped(&site)) { traps.stepped_ns } else { traps.emulated_ns }
    })
}

/// Where things are in the target's memory.
pub fn offsets(layout: &Layout) -> Offsets {
    let (g, gobuf, http) = (&layout.g, &layout.gobuf, &layout.http);
    let maps = match layout.maps {
        MapsLayout::Buckets(hmap, bucket) => Maps::Buckets {
            b: hmap.b,
            buckets: hmap.buckets,
            // Hashes, keys, values, and the address of an overflow bucket.
            bucket_size: bucket.data_offset + SLOTS * (KEY + VALUE) + 8,
            values: bucket.data_offset + SLOTS * KEY,
            least_tophash: bucket.min_top_hash,
        },
        MapsLayout::Tables(tables) => Maps::Tables {
            dir_ptr: tables.dir_ptr,
            dir_len: tables.dir_len,
            groups: tables.groups_data,
            mask: tables.groups_mask,
        },
    };
    Offsets {
        g_stack_lo: g.stack_lo,
        g_stack_hi: g.stack_hi,
        g_m: g.m,
        g_sched_pc: g.sched + gobuf.pc,
        g_sched_bp: g.sched + gobuf.bp,
        g_goid: g.goid,
        g_parent: g.parent_goid,
        g_waitreason: g.waitreason,
        g_startpc: g.startpc,
        m_curg: layout.m.curg,
        request_method: http.method,
        request_url: http.url,
        url_path: URL_PATH,
        request_header: http.header,
        request_major: http.proto_major,
        request_pattern: http.pattern,
        inner: layout.http2.map_or(InnerRequest::default(), |inner| InnerRequest {
            method: inner.method,
            url: inner.url,
            header: inner.header,
        }),
        maps,
    }
}

/// The kernel's number for what a goroutine does that waits, by the runtime's number of its reason.
pub fn classes(wait_reasons: &[String]) -> [u8; 256] {
    let mut classes = [OTHER; 256];
    for (class, reason) in classes.iter_mut().zip(wait_reasons) {
        let runs = RUNS.contains(&reason.as_str());
        *class = if runs { RUNNING } else { number(Class::of(State::Waiting, reason)) };
    }
    classes
}

/// The runtime's number of a wait reason.
fn reason(wait_reasons: &[String], text: &str) -> u8 {
    let number = wait_reasons.iter().position(|reason| reason == text).and_then(|number| number.try_into().ok());
    number.unwrap_or(Reasons::UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_their_classes() {
        let reasons = ["", "chan receive", "GC worker (active)", "GC worker (idle)", "sync.Mutex.Lock"];
        let classes = classes(&reasons.map(str::to_owned));
        assert_eq!(classes[1], number(Class::Chan));
        assert_eq!(classes[2], RUNNING);
        assert_eq!(classes[3], number(Class::Gc));
        assert_eq!(classes[4], number(Class::Mutex));
        assert_eq!(classes[200], OTHER);
    }
}
