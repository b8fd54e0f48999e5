//! The configuration of the BPF program, written before it is loaded.

use super::constants::{ABSENT, CLASSES, HEADERS, MAP_HEAD, REQUEST, TRACE};
use super::define::shared_structures;
use super::{MapLayout, Shared};
use crate::{Maps, Offsets, Plan};

/// Bytes of a header's name that are compared.
const NAME: usize = 16;

shared_structures! {
    /// The name of a header.
    struct HeaderName {
        /// The name, padded with zeros.
        text: [u64; 2],
        /// Its length.
        len: u32,
        pad: u32,
    }

    /// The configuration, which is the start of the program's constants. Offsets are in bytes, [`ABSENT`] where the target
    /// has no such field; what is a question is 1 for yes.
    struct Config {
        /// Waits as long as this are sent with their stack, if `blocked` is set. Nanoseconds.
        threshold: u64,
        /// Follow the states of goroutines.
        states: u32,
        /// Send each transition.
        transitions: u32,
        /// Send long waits.
        blocked: u32,
        /// Follow goroutines only while they work for requests that the filter accepts.
        scoped: u32,
        g_lo: u32,
        g_hi: u32,
        g_m: u32,
        g_pc: u32,
        g_bp: u32,
        g_goid: u32,
        g_reason: u32,
        g_start: u32,
        m_curg: u32,
        req_method: u32,
        req_url: u32,
        url_path: u32,
        req_header: u32,
        req_pattern: u32,
        /// How maps are laid out: [`MapLayout`].
        maps: u32,
        /// Of buckets: offset of their number's logarithm.
        buckets_b: u32,
        buckets_at: u32,
        bucket_size: u32,
        bucket_values: u32,
        /// The least hash that says that a slot is in use.
        tophash_least: u32,
        /// Of tables: offset of the directory.
        dir_ptr: u32,
        dir_len: u32,
        table_groups: u32,
        table_mask: u32,
        /// Of the automaton: classes of bytes, that of the end of the text included.
        dfa_classes: u32,
        dfa_start: u32,
        /// States; 0: any request is accepted.
        dfa_states: u32,
        /// Digits of `trace`; 0: any trace is accepted.
        trace_len: u32,
        /// Goroutines that are kept between requests, where states are not followed.
        most_kept: u32,
        /// The runtime's wait reason of a coroutine.
        coroutine: u32,
        /// The runtime's wait reason of a goroutine that was stopped for its stack to be scanned.
        preempted: u32,
        /// Of the request that HTTP/2 makes before it becomes one of `net/http`.
        inner_method: u32,
        inner_url: u32,
        inner_header: u32,
        req_major: u32,
        /// Read the headers of HTTP/1 only when a request ends, and only if it was slow.
        ids_of_slow: u32,
        g_parent: u32,
        pad: u32,
        /// A bit for each length that the name of one of `names` has.
        name_lens: u64,
        /// The trace whose requests are accepted: lower-case hexadecimal, `trace_len` digits of it.
        trace: [u8; TRACE],
        /// The class of each wait reason.
        class: [u8; 256],
        /// The class of each byte, for the automaton.
        dfa_class: [u8; 256],
        /// The headers that may say which request it is.
        names: [HeaderName; HEADERS],
    }
}

/// Whether what the program reads of a request and of its headers is within the blocks that are read at once, and aligned.
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

impl Config {
    /// The configuration for a plan.
    pub(crate) fn of(plan: &Plan) -> Config {
        let (options, offsets) = (&plan.options, &plan.offsets);
        let filter = options.filter.as_ref();
        let dfa = filter.and_then(|filter| filter.dfa.as_ref());
        let trace = filter.and_then(|filter| filter.trace.as_deref()).unwrap_or("").as_bytes();
        let names = crate::HEADERS.map(HeaderName::of);
        let config = Config {
            threshold: options.block_threshold_ns.unwrap_or(0),
            states: options.states.into(),
            transitions: options.transitions.into(),
            blocked: options.block_threshold_ns.is_some().into(),
            scoped: filter.is_some().into(),
            dfa_classes: dfa.map_or(0, |dfa| dfa.classes.into()),
            dfa_start: dfa.map_or(0, |dfa| dfa.start.into()),
            dfa_states: dfa.map_or(0, |dfa| dfa.table.len() / usize::from(dfa.classes.max(1))) as u32,
            trace_len: trace.len().min(TRACE) as u32,
            most_kept: options.max_goroutines / 2,
            coroutine: plan.reasons.coroutine.into(),
            preempted: plan.reasons.preempted.into(),
            ids_of_slow: options.reads_ids_of_slow().into(),
            name_lens: names.iter().fold(0, |lens, name| lens | 1 << name.len),
            trace: padded(trace),
            class: plan.classes,
            dfa_class: dfa.map_or([0; 256], |dfa| dfa.class_of),
            names,
            ..Config::ZERO
        };
        config.with_offsets(offsets).with_maps(offsets.maps)
    }

    fn with_offsets(self, offsets: &Offsets) -> Config {
        Config {
            g_lo: offsets.g_stack_lo,
            g_hi: offsets.g_stack_hi,
            g_m: offsets.g_m,
            g_pc: offsets.g_sched_pc,
            g_bp: offsets.g_sched_bp,
            g_goid: offsets.g_goid,
            g_reason: offsets.g_waitreason,
            g_start: offsets.g_startpc,
            g_parent: offsets.g_parent.unwrap_or(ABSENT),
            m_curg: offsets.m_curg,
            req_method: offsets.request_method,
            req_url: offsets.request_url,
            url_path: offsets.url_path,
            req_header: offsets.request_header,
            req_pattern: offsets.request_pattern.unwrap_or(ABSENT),
            req_major: offsets.request_major,
            inner_method: offsets.inner.method,
            inner_url: offsets.inner.url,
            inner_header: offsets.inner.header,
            ..self
        }
    }

    fn with_maps(self, maps: Maps) -> Config {
        match maps {
            Maps::Buckets { b, buckets, bucket_size, values, least_tophash } => Config {
                maps: MapLayout::Buckets as u32,
                buckets_b: b,
                buckets_at: buckets,
                bucket_size,
                bucket_values: values,
                tophash_least: least_tophash,
                ..self
            },
            Maps::Tables { dir_ptr, dir_len, groups, mask } => Config {
                maps: MapLayout::Tables as u32,
                dir_ptr,
                dir_len,
                table_groups: groups,
                table_mask: mask,
                ..self
            },
        }
    }
}

impl HeaderName {
    fn of(name: &str) -> HeaderName {
        let text = padded::<NAME>(name.as_bytes());
        HeaderName { text: Shared::read(&text).unwrap_or_default(), len: name.len() as u32, pad: 0 }
    }
}

fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
    }
    out
}

// Classes are masked with `CLASSES - 1` in the program.
const _: () = assert!(CLASSES.is_power_of_two());

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InnerRequest, Options, Reasons};

    #[test]
    fn the_configuration_has_each_offset_in_its_own_field() {
        let offsets = Offsets {
            g_stack_lo: 1,
            g_stack_hi: 2,
            g_m: 3,
            g_sched_pc: 4,
            g_sched_bp: 5,
            g_goid: 6,
            g_parent: None,
            g_waitreason: 7,
            g_startpc: 8,
            m_curg: 9,
            request_method: 10,
            request_url: 11,
            url_path: 12,
            request_header: 13,
            request_major: 14,
            request_pattern: Some(15),
            inner: InnerRequest { method: 16, url: 17, header: 18 },
            maps: Maps::Tables { dir_ptr: 19, dir_len: 20, groups: 21, mask: 22 },
        };
        let plan = Plan {
            pid: 1,
            exe: "/".into(),
            probes: Vec::new(),
            offsets,
            classes: [3; 256],
            reasons: Reasons { coroutine: 23, preempted: 24 },
            options: Options { block_threshold_ns: Some(1_000_000), ..Options::default() },
        };
        let config = Config::of(&plan);
        assert_eq!((config.g_lo, config.g_hi, config.g_m, config.g_pc, config.g_bp, config.g_goid), (1, 2, 3, 4, 5, 6));
        assert_eq!((config.g_parent, config.g_reason, config.g_start, config.m_curg), (ABSENT, 7, 8, 9));
        assert_eq!((config.req_method, config.req_url, config.url_path, config.req_header), (10, 11, 12, 13));
        assert_eq!((config.req_major, config.req_pattern), (14, 15));
        assert_eq!((config.inner_method, config.inner_url, config.inner_header), (16, 17, 18));
        assert_eq!(config.maps, MapLayout::Tables as u32);
        assert_eq!((config.dir_ptr, config.dir_len, config.table_groups, config.table_mask), (19, 20, 21, 22));
        assert_eq!((config.buckets_b, config.buckets_at, config.bucket_size, config.bucket_values), (0, 0, 0, 0));
        assert_eq!((config.coroutine, config.preempted, config.class), (23, 24, [3; 256]));
        assert_eq!((config.states, config.blocked, config.threshold, config.scoped), (1, 1, 1_000_000, 0));
        assert_eq!(config.names[0].text, [u64::from_ne_bytes(*b"Tracepar"), u64::from_ne_bytes(*b"ent\0\0\0\0\0")]);
        assert_eq!(config.name_lens, 1 << 11 | 1 << 2 | 1 << 12 | 1 << 13);
        assert_eq!(Config::read(&config.to_bytes()), Some(config));
    }
}
