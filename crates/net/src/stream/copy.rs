//! What comes on one connection, handed on to another one. Uses `stream`, `io::step`, `error`.

use std::mem;

use crate::error::{Copied, CopySide, Pending, Result};
use crate::io::step::{Step, ready};
use crate::stream::{ReadEnd, Stream, TURNS};

/// Most bytes that are taken before they are sent.
const BLOCK: usize = 256 * 1024;

/// Hands on what comes, until the end of the stream or `most` bytes in all: then `copied` is
/// complete. What was taken and is not sent yet waits in the queue of `into`.
pub fn step_copy(
    from: &mut Stream,
    into: &mut Stream,
    most: u64,
    copied: &mut Copied,
) -> Result<Step<()>> {
    for _ in 0..TURNS {
        copied.side = CopySide::Write;
        ready!(into.step_flush()?);
        copied.side = CopySide::Read;
        let left = most - copied.bytes;
        if left == 0 || !ready!(from.step_available(copied.bytes)?) {
            return Ok(Step::Done(()));
        }
        copied.side = CopySide::Write;
        copied.bytes += hand_on(from, into, left)?;
    }
    copied.side = CopySide::Read;
    from.step_yield(so_far(copied.bytes))
}

/// Moves what has come to the queue of `into`, which is empty: how many bytes of it.
fn hand_on(from: &mut Stream, into: &mut Stream, left: u64) -> Result<u64> {
    let most = BLOCK.min(into.limits.max_buffer).min(usize::try_from(left).unwrap_or(usize::MAX));
    let size = from.input.len().min(most);
    if size == from.input.len() {
        // All of it: the memory changes hands, and nothing is copied.
        mem::swap(&mut from.input, &mut into.output);
        from.consume(0);
    } else {
        into.queue_bytes(&[&from.input.filled()[..size]])?;
        from.consume(size);
    }
    Ok(size as u64)
}

fn so_far(bytes: u64) -> Pending {
    Pending::More { have: usize::try_from(bytes).unwrap_or(usize::MAX) }
}

impl Stream {
    /// Waits until something has come, as `step_find` does: false at the end of the stream.
    fn step_available(&mut self, before: u64) -> Result<Step<bool>> {
        ready!(self.step_finish_skip()?);
        self.input.append_late()?;
        while self.input.is_empty() {
            if let Some(ReadEnd::Clean) = self.end {
                return Ok(Step::Done(false));
            }
            ready!(self.step_fill(so_far(before))?);
        }
        Ok(Step::Done(true))
    }
}
