//! Which operator leads.

/// Which operator leads, as far as this one knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lead {
    /// Not known yet.
    #[default]
    Unknown,
    /// Another, by its name in the Lease.
    Another(String),
    /// This one.
    Own,
}
