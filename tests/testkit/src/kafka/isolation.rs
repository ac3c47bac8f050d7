//! The records that a reader sees.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// The records of committed transactions and those without a transaction, up to the first open transaction.
    ReadCommitted,
    /// All records, including those of open and aborted transactions.
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
