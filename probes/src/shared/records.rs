//! The records in the ring.

use super::constants::{CLASSES, FRAMES, HEADERS, LINE, ROUTE, VALUE};
use super::define::shared_structures;

shared_structures! {
    /// What each record begins with.
    struct Head {
        /// [`super::RecordKind`].
        kind: u32,
        /// The thread.
        tid: u32,
        /// When, in nanoseconds of `CLOCK_MONOTONIC`.
        time: u64,
        /// The address of the goroutine's g.
        g: u64,
        /// Its number; 0 if it has none yet.
        goid: u64,
    }

    /// A goroutine changes its status.
    struct Transition {
        head: Head,
        /// The number of the goroutine that made it change; 0: none did, or it is not known.
        by: u64,
        /// The request that it works for; 0: none.
        request: u64,
        /// The program counter that it was started at.
        start: u64,
        from: u8,
        to: u8,
        /// The runtime's wait reason afterwards.
        reason: u8,
        /// The class afterwards.
        class: u8,
        pad: u32,
    }

    /// A long wait has ended.
    struct Blocked {
        head: Head,
        /// When it began.
        since: u64,
        /// The number of the goroutine that ended it; 0: none did, or it is not known.
        by: u64,
        /// The request that it works for; 0: none.
        request: u64,
        reason: u8,
        class: u8,
        /// Entries of `stack` that are set.
        frames: u16,
        pad: u32,
        /// Program counters, innermost first.
        stack: [u64; FRAMES],
    }

    /// A goroutine begins to serve a request.
    struct Begin {
        head: Head,
        /// The request's number.
        request: u64,
        /// Of a call of gRPC: the number of the goroutine that started the one which serves it, 0 if that is not known.
        parent: u64,
        /// [`crate::SiteKind`].
        site: u8,
        method_len: u8,
        path_len: u8,
        pad: [u8; 5],
        /// Method, a space, path.
        line: [u8; LINE],
    }

    /// Which request it is: sent after its beginning, or before its end.
    struct Ids {
        head: Head,
        /// The request's number.
        request: u64,
        value_len: [u8; HEADERS],
        /// Not 0: some header could not be read.
        unread: u8,
        pad: u8,
        /// Values of headers, in the order of [`crate::HEADERS`].
        value: [[u8; VALUE]; HEADERS],
    }

    /// A request has ended.
    struct End {
        head: Head,
        /// The request's number.
        request: u64,
        /// When it began.
        begin: u64,
        /// Changes of state of its goroutine meanwhile.
        transitions: u64,
        /// Goroutines that were started for it.
        started: u64,
        /// [`super::EndReason`].
        how: u32,
        route_len: u32,
        /// The pattern that it matched.
        route: [u8; ROUTE],
        /// Nanoseconds of its goroutine, by class. This and what follows is not sent where states are not followed.
        own: [u64; CLASSES],
        /// The same of goroutines that were started for it.
        children: [u64; CLASSES],
    }
}
