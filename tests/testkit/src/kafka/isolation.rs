//! Which records a reader sees.

/// Which records a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Those of committed transactions and those without a transaction, up to the first open transaction.
    ReadCommitted,
    /// All, those of open and aborted transactions too.
    ReadUncommitted,
}

impl Isolation {
    /// The value of `isolation.level`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read_committed",
            Self::ReadUncommitted => "read_uncommitted",
        }
    }
}
