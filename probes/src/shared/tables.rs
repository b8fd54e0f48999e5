//! The program's maps, and what is in them.

use super::constants::{CLASSES, ROUTE};
use super::define::shared_structures;

shared_structures! {
    /// How a map is made. The object has one for each, in its section `maps`.
    struct MapSpec {
        /// `enum bpf_map_type` of the kernel.
        kind: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        flags: u32,
    }

    /// What is known of a goroutine, by the address of its g.
    struct Goroutine {
        goid: u64,
        /// When it entered its state.
        since: u64,
        /// The number of the goroutine that started it; 0 if that is not known.
        parent: u64,
        /// The program counter that it was started at.
        start: u64,
        /// The number of the request that it works for; 0: none.
        request: u64,
        /// The address of the request that it serves itself; 0 if it was started for one.
        serving: u64,
        /// When that request began.
        begin: u64,
        transitions: u64,
        /// `transitions` when that request began.
        transitions_before: u64,
        /// The runtime's value.
        status: u32,
        class: u8,
        /// The runtime's wait reason.
        reason: u8,
        /// The kind of site at which its request began.
        site: u8,
        /// How often its request's pattern was looked at.
        looks: u8,
        /// Nanoseconds by class.
        total: [u64; CLASSES],
        /// `total` when its request began.
        before: [u64; CLASSES],
        /// The address of its request's URL.
        url: u64,
        /// The address of its request's headers.
        headers: u64,
        /// Where the text of the pattern was that is kept, and how long.
        pattern: [u64; 2],
    }

    /// Sums over goroutines that have ended, by the function that they were started with.
    struct Ended {
        count: u64,
        transitions: u64,
        /// Nanoseconds by class.
        total: [u64; CLASSES],
    }

    /// What is kept of a request while it is served, by its number.
    struct Request {
        /// Goroutines that were started for it.
        children: u64,
        /// Their nanoseconds by class.
        total: [u64; CLASSES],
        route_len: u64,
        /// The pattern that it matched, when that was last looked at.
        route: [u8; ROUTE],
    }
}
