//! What the program and fgspy tell each other, byte by byte: `probes/bpf/trace.h`.

use crate::{Maps, Offsets, Plan};

pub(crate) const FRAMES: usize = 64;
/// A method, a space and a path.
pub(crate) const LINE: usize = 16 + 1 + 192;
pub(crate) const ROUTE: usize = 96;
pub(crate) const HEADERS: usize = 6;
pub(crate) const VALUE: usize = 64;
pub(crate) const DFA_CELLS: usize = 1 << 16;
/// Bytes that are read at once of a request, and of the head of a map.
const REQUEST: u32 = 64;
const MAP_HEAD: u32 = 32;
/// The cookie of a site at which the program does nothing.
pub(crate) const NOTHING: u64 = 0xff;

/// The place in the map `numbers` of when tracing began.
pub(crate) const START: u32 = 1;
/// The place there of how many nanoseconds a request takes that is slow.
pub(crate) const SLOW: u32 = 3;

/// Numbers of counts that are no site's.
pub(crate) mod counts {
    use crate::SiteKind;

    pub(crate) const LOST: usize = SiteKind::ALL.len();
    pub(crate) const FULL: usize = LOST + 1;
    pub(crate) const UNREADABLE: usize = LOST + 2;
    pub(crate) const CONTRADICTED: usize = LOST + 3;
    pub(crate) const REPEATED: usize = LOST + 4;
    pub(crate) const FILTERED: usize = LOST + 5;
    pub(crate) const HEADERS_UNREAD: usize = LOST + 6;
    pub(crate) const HEADERS_GONE: usize = LOST + 7;
    pub(crate) const PATTERN_GONE: usize = LOST + 8;
    /// By kind of site: hits that were timed, and how long the program took for them.
    pub(crate) const TIMED: usize = LOST + 9;
    pub(crate) const TIMED_NS: usize = TIMED + SiteKind::ALL.len();
    pub(crate) const ALL: usize = TIMED_NS + SiteKind::ALL.len();
}

const ABSENT: u32 = u32::MAX;

/// Reads numbers one after the other.
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_ne_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_ne_bytes)
    }
}

/// Whether what is read of a request and of its headers is within the blocks that are read at once, and aligned.
pub(crate) fn are_within_blocks(offsets: &Offsets) -> bool {
    let within = |at: u32, len: u32, block: u32| at.is_multiple_of(8) && at.saturating_add(len) <= block;
    let in_request = [
        (offsets.request_method, 16),
        (offsets.request_url, 8),
        (offsets.request_major, 8),
        (offsets.request_header, 8),
    ];
    let in_maps = match offsets.maps {
        Maps::Buckets { b, buckets, .. } => b < MAP_HEAD && within(buckets, 8, MAP_HEAD),
        Maps::Tables { dir_ptr, dir_len, .. } => within(dir_ptr, 8, MAP_HEAD) && within(dir_len, 8, MAP_HEAD),
    };
    in_maps && in_request.into_iter().all(|(at, len)| within(at, len, REQUEST))
}

/// `struct config`.
pub(crate) fn config(plan: &Plan) -> Vec<u8> {
    let (options, offsets) = (&plan.options, &plan.offsets);
    let filter = options.filter.as_ref();
    let dfa = filter.and_then(|filter| filter.dfa.as_ref());
    let trace = filter.and_then(|filter| filter.trace.as_deref()).unwrap_or("").as_bytes();
    let mut out = Vec::new();
    out.extend(options.block_threshold_ns.unwrap_or(0).to_ne_bytes());
    let (maps, buckets, tables) = match offsets.maps {
        Maps::Buckets { b, buckets, bucket_size, values, least_tophash } => {
            (1, [b, buckets, bucket_size, values, least_tophash], [0; 4])
        }
        Maps::Tables { dir_ptr, dir_len, groups, mask } => (2, [0; 5], [dir_ptr, dir_len, groups, mask]),
    };
    let states = dfa.map_or(0, |dfa| dfa.table.len() / usize::from(dfa.classes.max(1)));
    let numbers = [
        u32::from(options.states),
        u32::from(options.transitions),
        u32::from(options.block_threshold_ns.is_some()),
        u32::from(filter.is_some()),
        offsets.g_stack_lo,
        offsets.g_stack_hi,
        offsets.g_m,
        offsets.g_sched_pc,
        offsets.g_sched_bp,
        offsets.g_goid,
        offsets.g_waitreason,
        offsets.g_startpc,
        offsets.m_curg,
        offsets.request_method,
        offsets.request_url,
        offsets.url_path,
        offsets.request_header,
        offsets.request_pattern.unwrap_or(ABSENT),
        maps,
    ];
    let filter_numbers = [
        dfa.map_or(0, |dfa| dfa.classes.into()),
        dfa.map_or(0, |dfa| dfa.start.into()),
        states as u32,
        trace.len().min(32) as u32,
        options.max_goroutines / 2,
        plan.reasons.coroutine.into(),
        plan.reasons.preempted.into(),
        offsets.inner.method,
        offsets.inner.url,
        offsets.inner.header,
        offsets.request_major,
        u32::from(options.reads_ids_of_slow()),
        offsets.g_parent.unwrap_or(ABSENT),
    ];
    let all = numbers.into_iter().chain(buckets).chain(tables).chain(filter_numbers);
    all.for_each(|number| out.extend(number.to_ne_bytes()));
    out.resize(out.len().next_multiple_of(8), 0);
    out.extend(crate::HEADERS.iter().fold(0u64, |lens, name| lens | 1 << name.len()).to_ne_bytes());
    out.extend(padded::<32>(trace));
    out.extend(plan.classes);
    out.extend(dfa.map_or([0; 256], |dfa| dfa.class_of));
    // Numbers of eight bytes are aligned.
    out.resize(out.len().next_multiple_of(8), 0);
    for name in crate::HEADERS {
        out.extend(padded::<16>(name.as_bytes()));
        out.extend((name.len() as u32).to_ne_bytes());
        out.extend([0; 4]);
    }
    out
}

fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
    }
    out
}
