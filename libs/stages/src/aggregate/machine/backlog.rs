//! Deltas that wait for their turn.

use std::collections::VecDeque;

/// Bytes that wait at most, but for those that were on their way.
pub(super) const MAX_BYTES: usize = 16 << 20;

/// Deltas that were read and are not folded yet.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    deltas: VecDeque<(i64, Vec<u8>)>,
    bytes: usize,
}

impl Backlog {
    pub(super) fn push(&mut self, offset: i64, value: &[u8]) {
        self.bytes += value.len();
        self.deltas.push_back((offset, value.to_vec()));
    }

    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        let (_, value) = self.deltas.pop_front()?;
        self.bytes -= value.len();
        Some(value)
    }

    /// The offset behind the last delta.
    pub(super) fn end(&self) -> Option<i64> {
        self.deltas.back().map(|(offset, _)| offset + 1)
    }

    /// The offset of the first delta.
    pub(super) fn first(&self) -> Option<i64> {
        self.deltas.front().map(|(offset, _)| *offset)
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= MAX_BYTES
    }
}
