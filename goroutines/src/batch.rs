//! Following pointers in many places at once, with one read of memory for each step of all of them.
//!
//! To follow a chain of pointers takes a read for each link; a read costs by the call. So what follows a chain is written
//! as an `async` function that awaits each read ([`Reads::get`]), and [`run`] drives many of them together: it lets each
//! one go until it awaits a read, makes all those reads in one batch, and goes on. There is no concurrency in it, and no
//! runtime: a task waits for nothing but reads.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use fgspy_memory::{Memory, Range, ReadError};

/// Rounds of reads after which tasks are given up: more links than anything has that is worth following.
const MAX_ROUNDS: usize = 64;

/// A task: follows pointers by awaiting [`Reads::get`].
pub(crate) type Task<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The reads that tasks are waiting for, and what came of those of the round before.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    round: usize,
    wanted: Vec<Range>,
    /// Bytes wanted so far.
    len: usize,
    bytes: Vec<u8>,
    got: Vec<usize>,
}

impl Reads {
    /// Copies of `ranges`, read in their order; `None` for one that is not wholly mapped.
    pub(crate) async fn get<const N: usize>(&self, ranges: [Range; N]) -> [Option<Vec<u8>>; N] {
        let mut copies = self.get_all(&ranges).await.into_iter();
        std::array::from_fn(|_| copies.next().flatten())
    }

    /// As [`Reads::get`], for any number of ranges.
    pub(crate) async fn get_all(&self, ranges: &[Range]) -> Vec<Option<Vec<u8>>> {
        if ranges.is_empty() {
            return Vec::new();
        }
        let (round, first, start) = {
            let state = &mut *self.state.borrow_mut();
            let place = (state.round, state.wanted.len(), state.len);
            state.wanted.extend(ranges);
            state.len += ranges.iter().map(|range| range.len).sum::<usize>();
            place
        };
        poll_fn(|_| if self.state.borrow().round == round { Poll::Pending } else { Poll::Ready(()) }).await;
        let state = self.state.borrow();
        let mut at = start;
        let copies = ranges.iter().enumerate().map(|(i, range)| {
            let copy = state.bytes.get(at..at + range.len);
            at += range.len;
            copy.filter(|_| state.got.get(first + i) == Some(&range.len)).map(<[u8]>::to_vec)
        });
        copies.collect()
    }

    /// The bytes at `addr`, if all are mapped.
    pub(crate) async fn bytes(&self, addr: u64, len: usize) -> Option<Vec<u8>> {
        let [copy] = self.get([Range { addr, len }]).await;
        copy
    }
}

/// Runs tasks to their ends; `None` for those that read on for too long.
///
/// # Errors
/// When nothing at all can be read from the target any more.
pub(crate) fn run<T>(memory: &dyn Memory, reads: &Reads, tasks: Vec<Task<'_, T>>) -> Result<Vec<Option<T>>, ReadError> {
    let mut tasks: Vec<Option<Task<'_, T>>> = tasks.into_iter().map(Some).collect();
    let mut results: Vec<Option<T>> = tasks.iter().map(|_| None).collect();
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..=MAX_ROUNDS {
        let mut unfinished = false;
        for (task, result) in tasks.iter_mut().zip(&mut results) {
            let Some(running) = task else { continue };
            match running.as_mut().poll(&mut context) {
                Poll::Ready(done) => {
                    *result = Some(done);
                    *task = None;
                }
                Poll::Pending => unfinished = true,
            }
        }
        let state = &mut *reads.state.borrow_mut();
        let (wanted, bytes, got) = (&mut state.wanted, &mut state.bytes, &mut state.got);
        if unfinished {
            memory.read_ranges(wanted, bytes, got)?;
        }
        wanted.clear();
        state.len = 0;
        state.round += 1;
        if !unfinished {
            break;
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Each word holds its own address plus 8; nothing is mapped from 0x1000 on.
    struct Chain(Cell<usize>);

    impl Memory for Chain {
        fn read_ranges(&self, ranges: &[Range], buf: &mut Vec<u8>, got: &mut Vec<usize>) -> Result<(), ReadError> {
            self.0.set(self.0.get() + 1);
            buf.clear();
            got.clear();
            for range in ranges {
                let mapped = if range.addr < 0x1000 { range.len } else { 0 };
                let mut copy: Vec<u8> = (range.addr + 8).to_le_bytes().into_iter().take(mapped).collect();
                copy.resize(range.len, 0);
                buf.extend(copy);
                got.push(mapped);
            }
            Ok(())
        }
    }

    async fn follow(reads: &Reads, from: u64, links: usize) -> Option<u64> {
        let mut at = from;
        for _ in 0..links {
            at = crate::bytes::u64_at(&reads.bytes(at, 8).await?, 0)?;
        }
        Some(at)
    }

    fn follow_all(chains: &[(u64, usize)]) -> (Vec<Option<Option<u64>>>, usize) {
        let (memory, reads) = (Chain(Cell::new(0)), Reads::default());
        let task = |&(from, links)| -> Task<'_, Option<u64>> { Box::pin(follow(&reads, from, links)) };
        let results = run(&memory, &reads, chains.iter().map(task).collect()).unwrap();
        (results, memory.0.get())
    }

    #[test]
    fn chains_of_different_lengths_are_followed_together() {
        let (results, rounds) = follow_all(&[(0, 3), (0x100, 0), (0x200, 5), (0xff8, 3)]);
        assert_eq!(results, [Some(Some(24)), Some(Some(0x100)), Some(Some(0x228)), Some(None)]);
        assert_eq!(rounds, 5);
    }

    #[test]
    fn an_endless_chain_is_given_up() {
        let (results, rounds) = follow_all(&[(0, usize::MAX), (8, 1)]);
        assert_eq!(results, [None, Some(Some(16))]);
        assert_eq!(rounds, MAX_ROUNDS + 1);
    }
}
