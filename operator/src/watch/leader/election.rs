//! What a candidate does next, from the Lease as it was read and its own clock. Pure.

use std::time::{Duration, Instant};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};

/// A Lease that was not renewed for this long is free.
const LEASE_DURATION: Duration = Duration::from_secs(15);

/// A holder that could not renew for this long stops: before anybody else may start, with time to spare for a request that
/// is under way.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);

/// How often a holder renews.
pub(super) const RENEW_INTERVAL: Duration = Duration::from_secs(2);

/// How often others look, and a holder tries again.
pub(super) const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// What one candidate knows of an election.
pub(super) struct Election {
    name: String,
    identity: String,
    /// The Lease as it was read last, and since when it is known to be so.
    seen: Option<(LeaseSpec, Instant)>,
    /// The Lease as this candidate wrote it, and when it set about that.
    held: Option<(Lease, Instant)>,
}

/// What a candidate does.
#[derive(Debug, PartialEq)]
pub(super) enum Turn {
    /// It asks again later: another leads.
    Wait {
        /// The identity of the leader.
        holder: String,
    },
    /// It writes this Lease; if that succeeds it leads.
    Write(Box<Lease>),
}

/// Why a leader leads no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Another candidate may take it soon.
    #[error("the Lease could not be renewed for {} s", RENEW_DEADLINE.as_secs())]
    Deadline,
    /// Another candidate holds it.
    #[error("the Lease was taken by {0:?}")]
    Taken(String),
    /// Another candidate may have held it since.
    #[error("the Lease was deleted")]
    Deleted,
}

impl Election {
    /// Nothing is known yet.
    pub(super) const fn new(name: String, identity: String) -> Self {
        Self { name, identity, seen: None, held: None }
    }

    /// What names this candidate in the Lease.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// What to do with the Lease as it was `found` at `now`. The `date` is for people who look at the Lease.
    pub(super) fn turn(&mut self, found: Option<Lease>, now: Instant, date: Timestamp) -> Turn {
        let mut lease = found.unwrap_or_default();
        let spec = lease.spec.take().unwrap_or_default();
        let since = match &self.seen {
            Some((seen, since)) if *seen == spec => *since,
            _ => now,
        };
        self.seen = Some((spec.clone(), since));
        let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty());
        let term = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let term = term.map_or(LEASE_DURATION, Duration::from_secs);
        match holder {
            Some(holder) if holder != self.identity && now < since + term => Turn::Wait { holder },
            holder => {
                let is_own = holder.as_deref() == Some(&self.identity);
                let transitions = spec.lease_transitions.unwrap_or_default();
                lease.metadata.name = Some(self.name.clone());
                lease.spec = Some(LeaseSpec {
                    holder_identity: Some(self.identity.clone()),
                    lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
                    acquire_time: if is_own { spec.acquire_time } else { Some(MicroTime(date)) },
                    renew_time: Some(MicroTime(date)),
                    lease_transitions: Some(if is_own { transitions } else { transitions.saturating_add(1) }),
                    ..LeaseSpec::default()
                });
                Turn::Write(Box::new(lease))
            }
        }
    }

    /// The API server took a write of this candidate's that it set about at `now`.
    pub(super) fn holds(&mut self, written: Lease, now: Instant) {
        self.held = Some((written, now));
    }

    /// Until when it leads if it does not renew; none where it does not lead.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.held.as_ref().map(|(_, renewed)| *renewed + RENEW_DEADLINE)
    }

    /// The Lease that it holds, renewed.
    pub(super) fn renewal(&self, date: Timestamp) -> Lease {
        let mut lease = self.held.as_ref().map(|(lease, _)| lease.clone()).unwrap_or_default();
        if let Some(spec) = &mut lease.spec {
            spec.renew_time = Some(MicroTime(date));
        }
        lease
    }

    /// Takes note that the Lease was written by another client. If it is still held, the next renewal starts from `found`.
    ///
    /// # Errors
    /// When it is not.
    pub(super) fn still_holds(&mut self, found: Option<Lease>) -> Result<(), Lost> {
        let found = found.ok_or(Lost::Deleted)?;
        let holder = found.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default();
        if holder != self.identity {
            return Err(Lost::Taken(holder));
        }
        if let Some((lease, _)) = &mut self.held {
            *lease = found;
        }
        Ok(())
    }

    /// The Lease as it is to be written when this candidate gives it up; none when it does not hold it.
    pub(super) fn release(&self, found: Option<Lease>) -> Option<Lease> {
        let mut lease = found?;
        let spec = lease.spec.as_mut()?;
        (spec.holder_identity.take()? == self.identity).then_some(lease)
    }
}

#[cfg(test)]
mod tests;
