//! What a goroutine's stack says about its request, before anything else is read.

use super::anchors::{Anchors, Role, Root};
use super::frames::{Frame, Frames};
use super::look::{No, Slots, Start};
use super::{Idle, Mismatch};
use crate::unwind::StackBytes;
use crate::{Bounds, Runtime};

/// Frames at the root of a walked stack among which functions of servers are looked for.
const ROOT_FRAMES: usize = 10;
/// Frames at its leaf among which the function is looked for that waits for new connections.
const LEAF_FRAMES: usize = 8;
/// Frames below the handler's among which that of a mux is looked for.
const MUX_FRAMES: usize = 24;
/// Frames from that of HTTP/2's `runHandler` on that are searched.
const RUN_HANDLER_FRAMES: usize = 5;
/// Frames below the handler's among which a transport is looked for.
const HANDLER_FRAMES: usize = 24;
/// Words of arguments that may lead to a gRPC stream: a server, an interface, the stream, and more in old versions.
const STREAM_ARGUMENTS: u64 = 5;

/// The positions in a stack of functions with a role, the outermost of each.
#[derive(Clone, Copy, Debug, Default)]
struct Positions {
    connection: Option<usize>,
    run_handler: Option<usize>,
    handler: Option<usize>,
    stream: Option<usize>,
    idle: Option<Idle>,
    /// The connection awaits a request.
    awaits: bool,
}

impl Positions {
    fn find(runtime: &Runtime, anchors: &Anchors, pcs: &[u64]) -> Positions {
        let mut found = Positions::default();
        for (i, pc) in pcs.iter().enumerate().rev().skip(1).take(ROOT_FRAMES) {
            match anchors.role(pc.wrapping_sub(runtime.bias)) {
                Some(Role::Connection) => found.connection = found.connection.or(Some(i)),
                Some(Role::RunHandler) => found.run_handler = found.run_handler.or(Some(i)),
                Some(Role::Handler) => {
                    found.handler = Some(i);
                    break;
                }
                Some(Role::Stream) => {
                    found.stream = Some(i);
                    break;
                }
                Some(Role::Idle(idle)) => found.idle = found.idle.or(Some(idle)),
                Some(Role::Awaits) => found.awaits |= found.connection == Some(i + 1),
                Some(Role::Mux) | None => {}
            }
        }
        found
    }
}

/// What is wanted beyond the frames that always are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wants {
    /// The frame of a mux, for the pattern.
    pub(super) mux: bool,
    /// The frame of `(*conn).serve`, for the response.
    pub(super) serve: bool,
}

/// What a stack says that was walked to its root.
pub(super) fn walked(
    runtime: &Runtime,
    anchors: &Anchors,
    frames: &mut Frames,
    bounds: Bounds,
    (pcs, stack): (&[u64], StackBytes<'_>),
    wants: Wants,
) -> Result<Start, No> {
    let role = |i: usize| pcs.get(i).and_then(|pc| anchors.role(pc.wrapping_sub(runtime.bias)));
    let found = Positions::find(runtime, anchors, pcs);
    let Positions { connection, run_handler, handler, stream, idle, awaits } = found;
    match (found.connection, idle) {
        _ if handler.is_some() || stream.is_some() || run_handler.is_some() => {}
        // HTTP/2 took the connection over.
        (Some(_), Some(_)) => return Err(No::Idle(Idle::Connection)),
        (Some(_), None) => {}
        (None, Some(idle)) => return Err(No::Idle(idle)),
        (None, None) => {
            let accepts = (0..LEAF_FRAMES).any(|i| role(i) == Some(Role::Idle(Idle::Accepting)));
            return Err(if accepts { No::Idle(Idle::Accepting) } else { No::Nothing });
        }
    }
    let above = |i: usize, by: usize| i.saturating_sub(by)..i;
    // A handler may be no more than a transport: of gRPC (`(*Server).ServeHTTP`), or of all of HTTP/2 (`h2c`).
    if let Some(from) = handler.or(run_handler).filter(|_| stream.is_none()) {
        let carries = |i: usize| role(i) == Some(Role::Idle(Idle::Transport));
        if above(from, HANDLER_FRAMES).chain(0..LEAF_FRAMES.min(from)).any(carries) {
            return Err(No::Idle(if connection.is_some() { Idle::Connection } else { Idle::Transport }));
        }
    }
    let mux = handler.filter(|_| wants.mux);
    let mux = mux.and_then(|i| above(i, MUX_FRAMES).rev().find(|&i| role(i) == Some(Role::Mux)));
    let searched = run_handler.map(|i| handler.unwrap_or(i.saturating_sub(RUN_HANDLER_FRAMES)));
    let last = [connection, run_handler, handler, stream, mux, searched].into_iter().flatten().min().unwrap_or(0);
    let frames = frames.of_walked(runtime, bounds, stack, pcs, last);
    let frame = |i: usize| frames.get(pcs.len().checked_sub(i + 2)?).copied();
    let words = |i: usize| frame(i).map(|frame| frame.words(stack).collect::<Vec<u64>>());
    let serve = connection.filter(|_| wants.serve).and_then(words).unwrap_or_default();
    let must = |i: Option<usize>| i.map(|i| words(i).ok_or(No::Unknown(Mismatch::NoFrame))).transpose();
    let connection = match connection.map(frame) {
        Some(None) => return Err(No::Unknown(Mismatch::NoFrame)),
        Some(Some(frame)) => stack.word(frame.arguments(runtime.binary.arch())),
        None => None,
    };
    // It forgets its last request before it awaits the next one, and notes that only when it has read its head.
    if awaits && let Some(connection) = connection {
        return Ok(Start::Awaits(connection));
    }
    let start = Slots {
        connection,
        handler: must(handler)?,
        serve,
        run_handler: match (run_handler, searched) {
            (Some(first), Some(last)) => Some((last..=first).rev().filter_map(words).flatten().collect()),
            _ => None,
        },
        // Its own frame, which has what the handler got, and the caller's, which has what the mux got.
        mux: mux.map(|i| [i + 1, i].into_iter().filter_map(words).flatten().collect()).unwrap_or_default(),
        live: Vec::new(),
        stream: match stream.map(frame) {
            Some(None) => return Err(No::Unknown(Mismatch::NoFrame)),
            Some(Some(frame)) => Some(stream_words(runtime, frame, stack)),
            None => None,
        },
        reused: idle == Some(Idle::Worker),
        certain: true,
        lowest: 0,
    };
    Ok(Start::Walked(start))
}

/// What the start function says of a goroutine whose stack was not walked.
pub(super) fn unwalked(anchors: &Anchors, root: Option<Root>) -> Result<Start, No> {
    match root {
        Some(root) => match root.role {
            Role::Connection | Role::RunHandler | Role::Stream => Ok(Start::Top(root)),
            // It may be at work.
            Role::Idle(Idle::Worker) if anchors.serve_calls() => Ok(Start::Top(root)),
            Role::Idle(idle) => Err(No::Idle(idle)),
            Role::Handler | Role::Mux | Role::Awaits => Err(No::Nothing),
        },
        None => Err(No::Nothing),
    }
}

/// What the upper end of a stack says of a goroutine that was started at `root`.
pub(super) fn top(
    runtime: &Runtime,
    anchors: &Anchors,
    frames: &mut Frames,
    bounds: Bounds,
    stack: StackBytes<'_>,
    root: Root,
) -> Result<Slots, No> {
    let mut slots = Slots { reused: matches!(root.role, Role::Idle(_)), ..Slots::default() };
    for (func, frame) in frames.of_running(runtime, anchors, bounds, stack, root.framed) {
        slots.lowest = frame.sp;
        let words = || frame.words(stack).collect::<Vec<u64>>();
        match anchors.role_of_entry(func.entry) {
            Some(Role::Connection) => slots.connection = stack.word(frame.arguments(runtime.binary.arch())),
            Some(Role::RunHandler) => slots.run_handler = Some(words()),
            Some(Role::Handler) => {
                slots.run_handler.iter_mut().for_each(|searched| searched.extend(words()));
                slots.handler = Some(words());
            }
            Some(Role::Stream) => slots.stream = Some(stream_words(runtime, frame, stack)),
            Some(Role::Mux | Role::Awaits | Role::Idle(_)) | None => {
                slots.run_handler.iter_mut().for_each(|searched| searched.extend(words()));
            }
        }
    }
    let is_found = slots.connection.is_some() || slots.run_handler.is_some() || slots.stream.is_some();
    match root.role {
        _ if is_found => Ok(slots),
        Role::Idle(idle) => Err(No::Idle(idle)),
        _ => Err(No::Unknown(Mismatch::NoFrame)),
    }
}

/// The arguments of `handleStream`, and its frame.
fn stream_words(runtime: &Runtime, frame: Frame, stack: StackBytes<'_>) -> Vec<u64> {
    let arguments = frame.arguments(runtime.binary.arch());
    let arguments = (0..STREAM_ARGUMENTS).filter_map(|i| stack.word(arguments.checked_add(8 * i)?));
    arguments.chain(frame.words(stack)).collect()
}
