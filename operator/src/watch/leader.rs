//! Which of several operators works: leader election by a `Lease`.
//!
//! The rules are those of client-go. The holder renews its Lease every 2 s, and stops where it could not for 10 s; others
//! take it once they have seen it unchanged for the 15 s that it names. Every time is measured by one's own monotonic
//! clock, from when one saw the Lease change: clocks are never compared. Every write names the resource version that was
//! read, so of two that take the Lease at once one fails. A holder that ends in order releases the Lease when its last pass
//! has ended, and its successor starts within a second or so; one that loses the Lease ends as a process, so that nothing
//! half-done goes on.
//!
//! # What two leaders could do
//!
//! A Lease is no fence: a holder whose machine stands still for longer than 15 s may perform one more pass when it wakes,
//! before it learns that it holds nothing. So nothing but speed rests on there being one leader:
//! - *Objects* are written by server-side apply, both under one field manager, from what each has just read. Two passes
//!   over the same spec write the same, and the second write changes nothing. If the spec was changed between what the two
//!   have read, the elder's write can come last; it is put right by the pass that the change of the object brings about.
//!   At worst, pods are replaced once more than needed.
//! - *Whatever took an object's place* meanwhile is left alone: writes and deletions name the UID.
//! - *Topics* can be asked for twice: the second is told that the topic exists. They never shrink, so growth that is
//!   repeated or comes late does nothing.
//! - *Events* can be published twice.
//! - *Revisions* are the one thing that is counted up, from the ConfigMaps there are. If the spec was changed between what
//!   the two have read, both may take the next number, each for another content. So each looks after its write whether
//!   it is alone: of two that took a number at once, the later one sees both, and goes on under the next number, as does every pass
//!   after (`apply::workload`, `revisions::choose`). At most one content of a number reaches pods.
//!
//! `tests/cluster/leader.rs` lets two operators without election work on the same pipeline: they come to the same objects,
//! and then write nothing.

mod election;

use std::time::{Duration, Instant};

use cli::exit::with_causes;
use k8s_openapi::{api::coordination::v1::Lease, jiff::Timestamp};
use kube::{Api, Client, ResourceExt, api::PostParams};
use rand::Rng;
use tokio::time::{sleep, timeout, timeout_at};

pub(crate) use self::election::Lost;
use self::election::{Election, RENEW_INTERVAL, RETRY_INTERVAL, Turn};
use crate::pace::jitter;

/// How long releasing may take: a Lease that is not released is taken a little later.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// A candidate for leadership, which may come to hold it.
pub(crate) struct Candidate {
    leases: Api<Lease>,
    name: String,
    election: Election,
}

impl Candidate {
    /// A candidate for the Lease of this name.
    #[must_use]
    pub(crate) fn new(client: Client, namespace: &str, name: &str) -> Self {
        // A container that is started anew is another candidate: what its predecessor held it does not hold.
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "operator".to_owned());
        let identity = format!("{host}_{:016x}", rand::rng().random::<u64>());
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            election: Election::new(name.to_owned(), identity),
        }
    }

    /// What names this candidate in the Lease.
    #[must_use]
    pub(crate) fn identity(&self) -> &str {
        self.election.identity()
    }

    /// Returns when it leads. `turn` is called in each round, `follows` with the identity of the operator that leads.
    pub(crate) async fn acquire(&mut self, turn: impl Fn(), follows: impl Fn(String)) {
        let mut is_told = false;
        loop {
            turn();
            match self.attempt().await {
                Ok(Attempt::Leads) => return,
                Ok(Attempt::Follows(holder)) => {
                    if !is_told {
                        tracing::info!(holder, lease = self.name, "standing by: another operator leads");
                        is_told = true;
                    }
                    follows(holder);
                }
                // Another client wrote between the read and the write.
                Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {}
                Err(error) => tracing::warn!(lease = self.name, error = with_causes(&error), "the Lease was not read"),
            }
            sleep(RETRY_INTERVAL.mul_f64(jitter())).await;
        }
    }

    async fn attempt(&mut self) -> Result<Attempt, kube::Error> {
        let found = self.leases.get_opt(&self.name).await?;
        // Every other candidate that reads the write measures from a later moment than this.
        let now = Instant::now();
        match self.election.turn(found, now, Timestamp::now()) {
            Turn::Wait { holder } => Ok(Attempt::Follows(holder)),
            Turn::Write(lease) => {
                let written = self.write(&lease).await?;
                self.election.holds(written, now);
                Ok(Attempt::Leads)
            }
        }
    }

    /// Renews for as long as that succeeds. Returns when leadership is lost.
    pub(crate) async fn hold(&mut self) -> Lost {
        loop {
            sleep(RENEW_INTERVAL.mul_f64(jitter())).await;
            let Some(deadline) = self.election.deadline() else { return Lost::Deadline };
            match timeout_at(deadline.into(), self.renew()).await {
                Ok(Ok(())) => {}
                Ok(Err(lost)) => return lost,
                Err(_) => return Lost::Deadline,
            }
        }
    }

    async fn renew(&mut self) -> Result<(), Lost> {
        loop {
            let now = Instant::now();
            let error = match self.write(&self.election.renewal(Timestamp::now())).await {
                Ok(written) => {
                    self.election.holds(written, now);
                    return Ok(());
                }
                Err(error) => error,
            };
            let was_changed =
                matches!(&error, kube::Error::Api(status) if status.is_conflict() || status.is_not_found());
            if was_changed && let Ok(found) = self.leases.get_opt(&self.name).await {
                // Also after a renewal whose reply was lost: then it is still ours.
                self.election.still_holds(found)?;
                continue;
            }
            tracing::warn!(lease = self.name, error = with_causes(&error), "the Lease was not renewed");
            sleep(RETRY_INTERVAL.mul_f64(jitter())).await;
        }
    }

    /// Gives the Lease up, if it is held.
    pub(crate) async fn release(&mut self) {
        let released = timeout(RELEASE_TIMEOUT, async {
            loop {
                let found = self.leases.get_opt(&self.name).await?;
                let Some(lease) = self.election.release(found) else { return Ok(()) };
                match self.write(&lease).await {
                    // A renewal was under way.
                    Err(kube::Error::Api(status)) if status.is_conflict() => {}
                    result => return result.map(drop),
                }
            }
        });
        match released.await {
            Ok(Ok(())) => tracing::info!(lease = self.name, "released the Lease"),
            Ok(Err(error)) => {
                tracing::warn!(lease = self.name, error = with_causes(&error), "the Lease was not released");
            }
            Err(_) => tracing::warn!(lease = self.name, "the Lease was not released in time"),
        }
    }

    /// Fails when the Lease was written since it was read.
    async fn write(&self, lease: &Lease) -> Result<Lease, kube::Error> {
        let params = PostParams::default();
        if lease.resource_version().is_some() {
            self.leases.replace(&self.name, &params, lease).await
        } else {
            self.leases.create(&params, lease).await
        }
    }
}

enum Attempt {
    Leads,
    Follows(String),
}
