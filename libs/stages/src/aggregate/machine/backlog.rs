//! Deltas that are read and not folded yet.

use std::collections::VecDeque;

/// Maximum number of waiting bytes, apart from deltas that are already on their way.
pub(super) const MAX_BYTES: usize = 16 << 20;

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

    /// The offset after the last delta.
    pub(super) fn end(&self) -> Option<i64> {
        self.deltas.back().map(|(offset, _)| offset + 1)
    }

    pub(super) fn first(&self) -> Option<i64> {
        self.deltas.front().map(|(offset, _)| *offset)
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= MAX_BYTES
    }
}
