//! Values of `g.atomicstatus` (`runtime/runtime2.go`, `_Gidle` and following). The same in every release in the table;
//! the last two came with Go 1.26.

/// Just allocated, never used.
pub const IDLE: u32 = 0;
/// On a run queue.
pub const RUNNABLE: u32 = 1;
/// Running Go code on an m; its saved context is stale.
pub const RUNNING: u32 = 2;
/// In a system call or in C code.
pub const SYSCALL: u32 = 3;
/// Blocked in the runtime.
pub const WAITING: u32 = 4;
/// Unused: exited, on a free list, or being created.
pub const DEAD: u32 = 6;
/// Its stack is being moved.
pub const COPYSTACK: u32 = 8;
/// Stopped by a suspend request.
pub const PREEMPTED: u32 = 9;
/// Blocked for ever, as found by the garbage collector. Go 1.26 on.
pub const LEAKED: u32 = 10;
/// The dead goroutine of an m for C callbacks. Go 1.26 on.
pub const DEADEXTRA: u32 = 11;
/// A flag on the others: the garbage collector is scanning its stack.
pub const SCAN: u32 = 0x1000;
