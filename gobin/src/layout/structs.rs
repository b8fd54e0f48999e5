//! The runtime's structures.

use serde::Deserialize;

/// Offsets in `type g`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct GLayout {
    /// `stack.lo` (u64): lowest address of its stack.
    #[serde(rename = "stack.lo")]
    pub stack_lo: u32,
    /// `stack.hi` (u64): end of its stack.
    #[serde(rename = "stack.hi")]
    pub stack_hi: u32,
    /// `stackguard0` (u64): where the stack must grow, or a preemption request.
    pub stackguard0: u32,
    /// `_panic` (address): innermost panic.
    #[serde(rename = "_panic")]
    pub panic: u32,
    /// `_defer` (address): innermost deferred call.
    #[serde(rename = "_defer")]
    pub defer: u32,
    /// `m` (address): the thread it runs on, or 0.
    pub m: u32,
    /// `sched` ([`GobufLayout`]): its context while it does not run.
    pub sched: u32,
    /// `syscallsp` (u64): stack pointer while in a system call.
    pub syscallsp: u32,
    /// `syscallpc` (u64): program counter while in a system call.
    pub syscallpc: u32,
    /// `syscallbp` (u64): frame pointer while in a system call. Go 1.23 on.
    pub syscallbp: Option<u32>,
    /// `stktopsp` (u64): stack pointer expected at the top of the stack.
    pub stktopsp: u32,
    /// `param` (address): what woke it left for it.
    pub param: u32,
    /// `atomicstatus` (u32): see [`status`](super::status).
    pub atomicstatus: u32,
    /// `goid` (u64): its number.
    pub goid: u32,
    /// `schedlink` (address): next in a run queue.
    pub schedlink: u32,
    /// `waitsince` (i64): about when it blocked; 0 until a garbage collection saw it blocked.
    pub waitsince: u32,
    /// `waitreason` (u8): why it waits.
    pub waitreason: u32,
    /// `asyncSafePoint` (bool): stopped at an asynchronous safe point.
    pub async_safe_point: u32,
    /// `trackingSeq` (u8): incremented when it stops running. Go 1.17 on.
    pub tracking_seq: Option<u32>,
    /// `lockedm` (address): the thread it is locked to, or 0.
    pub lockedm: u32,
    /// `parentGoid` (u64): number of its creator. Go 1.21 on.
    pub parent_goid: Option<u32>,
    /// `gopc` (u64): return address of the `go` statement that created it.
    pub gopc: u32,
    /// `startpc` (u64): entry of the function it was started with.
    pub startpc: u32,
    /// `waiting` (address): the [`SudogLayout`]s it waits on.
    pub waiting: u32,
    /// `labels` (address): its profiler labels, or 0.
    pub labels: u32,
    /// Size of a g.
    pub size: u32,
}

/// Offsets in `type gobuf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GobufLayout {
    /// `sp` (u64): stack pointer.
    pub sp: u32,
    /// `pc` (u64): program counter.
    pub pc: u32,
    /// `g` (address): whose context it is.
    pub g: u32,
    /// `ctxt` (address): closure context.
    pub ctxt: u32,
    /// `lr` (u64): link register; unused on amd64.
    pub lr: u32,
    /// `bp` (u64): frame pointer.
    pub bp: u32,
    /// Size of a gobuf.
    pub size: u32,
}

/// Offsets in `type m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MLayout {
    /// `g0` (address): the goroutine whose stack the scheduler uses.
    pub g0: u32,
    /// `morebuf` ([`GobufLayout`]): who called `morestack`.
    pub morebuf: u32,
    /// `procid` (u64): thread id in the target's own PID namespace.
    pub procid: u32,
    /// `gsignal` (address): the goroutine whose stack signal handlers use.
    pub gsignal: u32,
    /// `tls` (6 words): thread-local storage; word 0 is the current g on amd64 without cgo.
    pub tls: u32,
    /// `curg` (address): the user goroutine it runs, or 0.
    pub curg: u32,
    /// `p` (address): the p it holds, or 0.
    pub p: u32,
    /// `syscalltick` (u32): what [`PLayout::syscalltick`] was when its goroutine last entered a system call. That count goes up
    /// each time one ends (`runtime/proc.go`, `reentersyscall` and `exitsyscall`), so this differs from one to the next. `None`
    /// where it was not found.
    pub syscalltick: Option<u32>,
    /// `id` (i64): its number.
    pub id: u32,
    /// `spinning` (bool): looking for work.
    pub spinning: u32,
    /// `blocked` (bool): asleep on a note.
    pub blocked: u32,
    /// `incgo` (bool): running C code.
    pub incgo: u32,
    /// `ncgo` (i32): C calls in progress.
    pub ncgo: u32,
    /// `alllink` (address): next in the list `runtime.allm`.
    pub alllink: u32,
    /// `lockedg` (address): the goroutine locked to it, or 0.
    pub lockedg: u32,
    /// `vdsoSP` (u64): stack pointer of the Go code that called into the vDSO, or 0.
    #[serde(rename = "vdsoSP")]
    pub vdso_sp: u32,
    /// `vdsoPC` (u64): its program counter.
    #[serde(rename = "vdsoPC")]
    pub vdso_pc: u32,
    /// Size of an m.
    pub size: u32,
}

/// Offsets in `type p`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PLayout {
    /// `id` (i32): its index in `runtime.allp`.
    pub id: u32,
    /// `status` (u32): see [`PStatus`].
    pub status: u32,
    /// `link` (address): next idle p.
    pub link: u32,
    /// `schedtick` (u32): incremented at every scheduler call.
    pub schedtick: u32,
    /// `syscalltick` (u32): incremented at every system call.
    pub syscalltick: u32,
    /// `m` (address): the thread that holds it, or 0.
    pub m: u32,
    /// `mcache` (address): its cache of free memory, see [`McacheLayout`].
    pub mcache: u32,
    /// `runqhead` (u32): first used slot of `runq`, modulo its length 256.
    pub runqhead: u32,
    /// `runqtail` (u32): first free slot of `runq`, modulo its length 256.
    pub runqtail: u32,
    /// `runq` (256 addresses): runnable goroutines.
    pub runq: u32,
    /// `runnext` (address): the goroutine to run next, or 0.
    pub runnext: u32,
}

/// Offsets in `type mcache` (`runtime/mcache.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct McacheLayout {
    /// `flushGen` (u32): the garbage collection after which it was last emptied. A p does so before it takes any memory
    /// that a collection has freed (`mcache.prepareForSweep`).
    #[serde(rename = "flushGen")]
    pub flush_gen: u32,
}

/// Values of `p.status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PStatus {
    /// `_Pidle`: not in use.
    #[serde(rename = "_Pidle")]
    pub idle: u32,
    /// `_Prunning`: held by a thread. From Go 1.26 on also while its goroutine is in a system call.
    #[serde(rename = "_Prunning")]
    pub running: u32,
    /// `_Psyscall`: its goroutine is in a system call. Up to Go 1.25.
    #[serde(rename = "_Psyscall")]
    pub syscall: Option<u32>,
    /// `_Pgcstop`: stopped for the garbage collector.
    #[serde(rename = "_Pgcstop")]
    pub gcstop: u32,
    /// `_Pdead`: beyond GOMAXPROCS.
    #[serde(rename = "_Pdead")]
    pub dead: u32,
}

/// Offsets in `type schedt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchedLayout {
    /// `midle` (address): first idle thread; from Go 1.26 on the first word of a list head.
    pub midle: u32,
    /// `nmidle` (i32): number of idle threads.
    pub nmidle: u32,
    /// `pidle` (address): first idle p.
    pub pidle: u32,
    /// `npidle` (i32): number of idle p's.
    pub npidle: u32,
    /// `nmspinning` (i32): threads that look for work.
    pub nmspinning: u32,
    /// `runq.head` (address): first goroutine of the global run queue, linked by [`GLayout::schedlink`].
    #[serde(rename = "runq.head")]
    pub runq_head: u32,
    /// `runq.tail` (address): its last goroutine.
    #[serde(rename = "runq.tail")]
    pub runq_tail: u32,
    /// `runqsize`, `runq.size` from Go 1.25 on (i32): its length.
    #[serde(rename = "runq.size", alias = "runqsize")]
    pub runq_size: u32,
    /// `disable.user` (bool): user goroutines are not scheduled.
    #[serde(rename = "disable.user")]
    pub disable_user: u32,
    /// `disable.runnable` (queue like `runq`): the user goroutines that wait for that to end.
    #[serde(rename = "disable.runnable")]
    pub disable_runnable: u32,
    /// `gcwaiting` (u32, bool from Go 1.20 on): the world is being stopped.
    pub gcwaiting: u32,
}

/// Offsets in `type moduledata`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ModuleDataLayout {
    /// `pcHeader` (address): the function table (pclntab).
    pub pc_header: u32,
    /// `funcnametab` (slice of bytes).
    pub funcnametab: u32,
    /// `cutab` (slice of u32).
    pub cutab: u32,
    /// `filetab` (slice of bytes).
    pub filetab: u32,
    /// `pctab` (slice of bytes).
    pub pctab: u32,
    /// `pclntable` (slice of bytes).
    pub pclntable: u32,
    /// `ftab` (slice of entries).
    pub ftab: u32,
    /// `findfunctab` (address).
    pub findfunctab: u32,
    /// `minpc` (u64): first function.
    pub minpc: u32,
    /// `maxpc` (u64): end of the last function.
    pub maxpc: u32,
    /// `text` (u64): start of the code.
    pub text: u32,
    /// `etext` (u64): end of the code.
    pub etext: u32,
    /// `types` (u64): start of the type descriptors.
    pub types: u32,
    /// `etypes` (u64): their end.
    pub etypes: u32,
    /// `rodata` (u64). Go 1.18 on.
    pub rodata: Option<u32>,
    /// `gofunc` (u64): what funcdata offsets count from. Go 1.18 on.
    pub gofunc: Option<u32>,
    /// `textsectmap` (slice).
    pub textsectmap: u32,
    /// `pluginpath` (string): empty for the main program.
    pub pluginpath: u32,
    /// `modulename` (string).
    pub modulename: u32,
    /// `hasmain` (u8).
    pub hasmain: u32,
    /// `bad` (bool): failed to load.
    pub bad: u32,
    /// `next` (address): the next module, or 0.
    pub next: u32,
    /// Size of a moduledata.
    pub size: u32,
}

/// Offsets in `type sudog`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SudogLayout {
    /// `g` (address): who waits.
    pub g: u32,
    /// `next` (address): next in the queue of what is waited for.
    pub next: u32,
    /// `elem`, `elem.vu` from Go 1.26 on (address): the value sent or received; for semaphores, the semaphore's address.
    #[serde(alias = "elem.vu")]
    pub elem: u32,
    /// `isSelect` (bool).
    pub is_select: u32,
    /// `waitlink` (address): next of the same goroutine.
    pub waitlink: u32,
    /// `c`, `c.vu` from Go 1.26 on (address): the channel.
    #[serde(alias = "c.maybeTraceablePtr.vu")]
    pub c: u32,
    /// Size of a sudog.
    pub size: u32,
}

/// What `g.labels` points to (`runtime/pprof`, `type labelMap`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelsLayout {
    /// A `map[string]string` in the old map layout: a pointer to an hmap. Up to Go 1.23.
    Map(HmapLayout, BucketLayout),
    /// A slice of labels. Go 1.24 on.
    List(LabelListLayout),
}

/// Offsets in `type hmap` (`runtime/map.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HmapLayout {
    /// `count` (i64): number of entries.
    pub count: u32,
    /// `flags` (u8).
    pub flags: u32,
    /// `B` (u8): binary logarithm of the number of buckets.
    #[serde(rename = "B")]
    pub b: u32,
    /// `hash0` (u32): seed of its hash function, drawn for each map.
    pub hash0: u32,
    /// `buckets` (address).
    pub buckets: u32,
    /// `oldbuckets` (address): what the map is growing out of, or 0.
    pub oldbuckets: u32,
}

/// A map bucket (`runtime/map.go`, `type bmap`): one byte of hash for each entry, the keys, the values, and the address
/// of the next bucket in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct BucketLayout {
    /// `bucketCnt`: entries in a bucket.
    #[serde(rename = "bucketCnt")]
    pub entries: u32,
    /// `dataOffset`: offset of the keys.
    pub data_offset: u32,
    /// `emptyOne`: hash bytes up to this one mark an empty entry.
    pub empty_one: u32,
    /// `minTopHash`: hash bytes from this one on are hashes; those between mark what has moved to the new buckets.
    pub min_top_hash: u32,
    /// `sameSizeGrow`: the flag in [`HmapLayout::flags`] that there are as many old buckets as new ones, not half.
    pub same_size_grow: u32,
}

/// Labels as a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelListLayout {
    /// Offset of the slice (address, length, capacity) in what `g.labels` points to.
    pub list: u32,
    /// Offset of the key (string) in an element.
    pub key: u32,
    /// Offset of the value (string) in an element.
    pub value: u32,
    /// Size of an element.
    pub size: u32,
}
