//! Merges the views of several replicas into one view of the pipeline. Pure.

use std::collections::BTreeMap;

use crds::records::dead_letter::Reason;

use super::types::{DeadLetter, LatencyOf, Partition, Rates, Replica, ReplicaState, Role, Sample, Scope, Totals, View};

/// Merges the views of the replicas of one pipeline; `None` if there are no views.
///
/// Counts of events and transactions are summed. Keep the view of a replica that is gone in the list, so that no sum
/// decreases; its rates, lag and partitions are ignored. The state of the fold, which every replica computes, is taken
/// from one replica: the emitter, or else the one that is furthest ahead. Counts of the fold are the maximum over all
/// replicas, because each replica counts from its own start.
#[must_use]
pub fn merge(views: &[View]) -> Option<View> {
    let latest = views.iter().max_by_key(|view| view.time)?;
    let live: Vec<&View> = views.iter().filter(|view| !is_gone(view)).collect();
    let fold = live.iter().copied().max_by_key(|view| (role(view), view.frontier, view.latest)).unwrap_or(latest);
    Some(View {
        scope: Scope::Pipeline,
        time: latest.time,
        replicas: replicas(views),
        totals: totals(views),
        rates: rates(&live),
        latency: super::types::Latency {
            commit: latency(live.iter().map(|view| view.latency.commit)),
            emission: latency(live.iter().map(|view| view.latency.emission)),
        },
        lag: live.iter().map(|view| view.lag).sum(),
        partitions: partitions(fold, &live),
        dead_letters: dead_letters(views),
        audit: views.iter().find_map(|view| view.audit),
        ..fold.clone()
    })
}

fn is_gone(view: &View) -> bool {
    view.replicas.iter().all(|replica| replica.state == ReplicaState::Gone)
}

/// Ranks a replica by its role; the emitter ranks highest.
fn role(view: &View) -> u8 {
    let rank = |replica: &Replica| match replica.role {
        Some(Role::Emitter) => 3,
        Some(Role::Standby) => 2,
        Some(Role::Restoring) => 1,
        None => 0,
    };
    view.replicas.iter().map(rank).max().unwrap_or_default()
}

/// Replicas by name. One that is gone is listed only if no other replica has its name.
fn replicas(views: &[View]) -> Vec<Replica> {
    let mut replicas: BTreeMap<&str, &Replica> = BTreeMap::new();
    for replica in views.iter().flat_map(|view| &view.replicas) {
        let known = replicas.entry(&replica.name).or_insert(replica);
        if known.state == ReplicaState::Gone {
            *known = replica;
        }
    }
    replicas.into_values().cloned().collect()
}

fn totals(views: &[View]) -> Totals {
    let mut sum = Totals::default();
    for Totals { dead_letters, .. } in views.iter().map(|view| &view.totals) {
        for (reason, count) in dead_letters {
            *sum.dead_letters.entry(*reason).or_default() += count;
        }
    }
    for totals in views.iter().map(|view| &view.totals) {
        sum.processed += totals.processed;
        sum.late += totals.late;
        sum.unmerged += totals.unmerged;
        sum.transactions += totals.transactions;
        sum.aborted += totals.aborted;
        sum.rebalances += totals.rebalances;
        sum.emissions += totals.emissions;
        sum.emissions_aborted += totals.emissions_aborted;
        sum.windows_closed = sum.windows_closed.max(totals.windows_closed);
        sum.revisions = sum.revisions.max(totals.revisions);
        sum.alerts = sum.alerts.max(totals.alerts);
    }
    sum
}

fn rates(live: &[&View]) -> Rates {
    let sum = |rate: fn(&Rates) -> f64| live.iter().map(|view| rate(&view.rates)).sum();
    Rates {
        processed: sum(|rates| rates.processed),
        dead_letters: sum(|rates| rates.dead_letters),
        transactions: sum(|rates| rates.transactions),
        aborted: sum(|rates| rates.aborted),
        rebalances: sum(|rates| rates.rebalances),
    }
}

fn latency(parts: impl Iterator<Item = LatencyOf>) -> LatencyOf {
    let mut sum = LatencyOf::default();
    let mut weighted = 0.0;
    for part in parts {
        let Some((p50, p99)) = part.p50.zip(part.p99) else { continue };
        sum.count += part.count;
        weighted += p50 * part.count as f64;
        sum.p99 = Some(sum.p99.map_or(p99, |highest| highest.max(p99)));
    }
    sum.p50 = (sum.count > 0).then(|| weighted / sum.count as f64);
    sum
}

/// Combines what the fold knows of each partition with the lag that its owner knows. While a partition changes owners,
/// the later view wins.
fn partitions(fold: &View, live: &[&View]) -> Vec<Partition> {
    let known = fold.partitions.iter().map(|known| Partition { replica: None, lag: None, ..known.clone() });
    let mut partitions: BTreeMap<i32, Partition> = known.map(|known| (known.partition, known)).collect();
    let mut live = live.to_vec();
    live.sort_by_key(|view| view.time);
    for own in live.iter().flat_map(|view| &view.partitions).filter(|partition| partition.replica.is_some()) {
        let partition = partitions.entry(own.partition).or_insert_with(|| own.clone());
        partition.replica.clone_from(&own.replica);
        partition.lag = own.lag;
        partition.watermark = partition.watermark.max(own.watermark);
    }
    partitions.into_values().collect()
}

fn dead_letters(views: &[View]) -> Vec<DeadLetter> {
    let mut by_reason: BTreeMap<Reason, (u64, Option<&Sample>)> = BTreeMap::new();
    for letter in views.iter().flat_map(|view| &view.dead_letters) {
        let (count, sample) = by_reason.entry(letter.reason).or_default();
        *count += letter.count;
        *sample = (*sample).into_iter().chain(&letter.sample).max_by_key(|sample| sample.seen);
    }
    let letters = by_reason.into_iter();
    letters.map(|(reason, (count, sample))| DeadLetter { reason, count, sample: sample.cloned() }).collect()
}
