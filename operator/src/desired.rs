//! The objects that run a pipeline, together, and the revision that numbers their config. Pure.

use crds::pipeline::{ConfigStatus, LoginPipeline};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::ResourceExt;

use crate::{
    build::{
        Shape, config_map, content, deployment, network_policy, pod_disruption_budget, pod_template, service,
        service_account,
    },
    validate::{Valid, ValidateError, check_pipeline},
};

/// The objects that run a pipeline, in the order in which they are applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Under which its pods run.
    pub service_account: ServiceAccount,
    /// Who may reach its pods, and whom they may reach; none where the spec wants none.
    pub network_policy: Option<NetworkPolicy>,
    /// How many of its pods a drained node may take.
    pub pod_disruption_budget: PodDisruptionBudget,
    /// By which Prometheus finds its pods.
    pub service: Service,
    /// What its pods do.
    pub config_map: ConfigMap,
    /// Its pods.
    pub deployment: Deployment,
    /// The job config, as the status names it.
    pub config: ConfigStatus,
}

/// The objects that run a pipeline with the config of this revision.
#[must_use]
pub fn desired(valid: &Valid, bootstrap_servers: &str, revision: u64, default_image: &str) -> Desired {
    let config_map = config_map(valid, bootstrap_servers, revision);
    let name = config_map.name_any();
    let image = valid.spec.processor.image.clone().unwrap_or_else(|| default_image.to_owned());
    let template = pod_template(valid, &Shape { default_image: default_image.to_owned(), ..Shape::default() });
    Desired {
        service_account: service_account(valid),
        network_policy: network_policy(valid, bootstrap_servers),
        pod_disruption_budget: pod_disruption_budget(valid),
        service: service(valid),
        deployment: deployment(valid, template, &name, valid.spec.processor.replicas),
        config: ConfigStatus { revision, config_map: name, image: Some(image) },
        config_map,
    }
}

/// The objects that would run the pipeline of a manifest in a namespace, whatever is there now.
///
/// # Errors
/// When the manifest's values cannot be used.
pub fn render(
    namespace: &str,
    pipeline: &LoginPipeline,
    bootstrap_servers: &str,
    revision: u64,
) -> Result<Desired, ValidateError> {
    let mut pipeline = pipeline.clone();
    pipeline.metadata.namespace = Some(namespace.to_owned());
    Ok(desired(&check_pipeline(&pipeline)?, bootstrap_servers, revision, "processor"))
}

/// The revision of a pipeline's config. A config that is new gets a number that no other ever had, because the number is
/// taken when the ConfigMap that holds it is written, before anything uses it: the newest existing one knows the last
/// number, and the status knows it when that was deleted by hand. The first is the time of the resource's creation, so that
/// a resource that is deleted and made anew goes on above the numbers of its predecessor.
#[must_use]
pub fn revision(
    valid: &Valid,
    bootstrap_servers: &str,
    existing: &[ConfigMap],
    reported: Option<&ConfigStatus>,
) -> u64 {
    let at = |revision| config_map(valid, bootstrap_servers, revision);
    let newest = existing.iter().filter_map(content).max_by_key(|(revision, _)| *revision);
    match (newest, reported) {
        (Some((newest, _)), Some(reported)) if reported.revision > newest => after_loss(reported, at),
        (None, Some(reported)) => after_loss(reported, at),
        (None, None) => valid.first_revision,
        (Some((newest, held)), _) => {
            let is_same = content(&at(newest)).is_some_and(|(_, wanted)| wanted == held);
            if is_same { newest } else { newest.saturating_add(1) }
        }
    }
}

/// The ConfigMap that the status names is gone. Its name tells whether it held the config that is wanted.
fn after_loss(reported: &ConfigStatus, at: impl Fn(u64) -> ConfigMap) -> u64 {
    if at(reported.revision).name_any() == reported.config_map {
        reported.revision
    } else {
        reported.revision.saturating_add(1)
    }
}

/// The bootstrap servers of the newest config: what running pods use when Strimzi has none to offer at the moment.
#[must_use]
pub fn bootstrap_servers_in_use(existing: &[ConfigMap]) -> Option<String> {
    let (_, newest) = existing.iter().filter_map(content).max_by_key(|(revision, _)| *revision)?;
    Some(newest.pointer("/kafka/bootstrapServers")?.as_str()?.to_owned())
}

/// The ConfigMaps that nothing needs once the pods run the current config: all but that one and its predecessor.
#[must_use]
pub fn outdated<'a>(existing: &'a [ConfigMap], current: &ConfigStatus) -> Vec<&'a ConfigMap> {
    let mut others: Vec<_> = existing
        .iter()
        .filter(|config_map| config_map.name_any() != current.config_map)
        .map(|config_map| (content(config_map).map(|(revision, _)| revision), config_map))
        .collect();
    others.sort_by_key(|(revision, _)| std::cmp::Reverse(*revision));
    others.into_iter().skip(1).map(|(_, config_map)| config_map).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::build::CONFIG_KEY;

    const SERVERS: &str = "kafka:9092";

    fn valid(lateness: u8) -> Valid {
        let spec = serde_json::json!({
            "kafka": {"strimzi": {"cluster": "a"}}, "aggregation": {"allowedLateness": format!("{lateness}s")},
        });
        check_pipeline(&LoginPipeline::new("logins", serde_json::from_value(spec).unwrap())).unwrap()
    }

    /// What the API server holds.
    #[derive(Clone, Debug, Default)]
    struct Held {
        config_maps: Vec<ConfigMap>,
        status: Option<ConfigStatus>,
    }

    /// Where a pass ends: each writes what those before it write.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Reaches {
        Nothing,
        ConfigMap,
        Status,
        Prune,
    }

    fn pass(held: &mut Held, spec: u8, reaches: Reaches) {
        let valid = valid(spec);
        let revision = revision(&valid, SERVERS, &held.config_maps, held.status.as_ref());
        let desired = desired(&valid, SERVERS, revision, "image");
        if reaches >= Reaches::ConfigMap && !held.config_maps.contains(&desired.config_map) {
            held.config_maps.push(desired.config_map);
        }
        if reaches >= Reaches::Status {
            held.status = Some(desired.config.clone());
        }
        if reaches >= Reaches::Prune {
            let gone: Vec<_> = outdated(&held.config_maps, &desired.config).into_iter().cloned().collect();
            held.config_maps.retain(|config_map| !gone.contains(config_map));
        }
    }

    fn text(config_map: &ConfigMap) -> String {
        config_map.data.as_ref().unwrap()[CONFIG_KEY].clone()
    }

    #[test]
    fn a_config_keeps_its_number_and_a_new_one_gets_the_next() {
        let mut held = Held::default();
        for (spec, expected) in [(1, 1), (1, 1), (2, 2), (2, 2), (1, 3), (3, 4), (3, 4)] {
            pass(&mut held, spec, Reaches::Prune);
            assert_eq!(held.status.as_ref().unwrap().revision, expected);
            let kept: Vec<_> = held.config_maps.iter().filter_map(content).map(|(revision, _)| revision).collect();
            let predecessor = (expected > 1).then(|| expected - 1);
            assert_eq!(kept, predecessor.into_iter().chain([expected]).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_config_map_that_was_deleted_comes_back_under_its_number() {
        let mut held = Held::default();
        for spec in [1, 2, 3] {
            pass(&mut held, spec, Reaches::Prune);
        }
        let before = held.clone();
        held.config_maps.clear();
        pass(&mut held, 3, Reaches::Prune);
        assert_eq!(held.status, before.status);
        held.config_maps.clear();
        pass(&mut held, 4, Reaches::Prune);
        assert_eq!(held.status.unwrap().revision, 4);
    }

    /// A log knows the configs of all resources that ever had the name.
    #[test]
    fn a_successor_goes_on_above_its_predecessor() {
        let created = |second: u64| Valid { first_revision: second, ..valid(1) };
        assert_eq!(revision(&created(1_720_576_825), SERVERS, &[], None), 1_720_576_825);
        // What an earlier release numbered from 1 goes on from there.
        let existing = [config_map(&valid(2), SERVERS, 7)];
        assert_eq!(revision(&created(1_720_576_825), SERVERS, &existing, None), 8);
    }

    proptest! {
        /// Whatever changes, wherever passes break off, and whatever is deleted by hand afterwards: a revision never
        /// means two configs, and the end is the same as without accidents.
        #[test]
        fn a_revision_never_means_two_configs(
            history in prop::collection::vec(
                (0..4_u8, prop_oneof![
                    Just(Reaches::Nothing), Just(Reaches::ConfigMap), Just(Reaches::Status), Just(Reaches::Prune),
                ], prop::option::of(0..3_usize)),
                1..40,
            ),
        ) {
            let mut held = Held::default();
            let mut meanings = BTreeMap::new();
            let mut last = 0;
            for (spec, reaches, deleted) in history {
                pass(&mut held, spec, reaches);
                for config_map in &held.config_maps {
                    let (revision, _) = content(config_map).unwrap();
                    let meaning = meanings.entry(revision).or_insert_with(|| text(config_map));
                    prop_assert_eq!(&*meaning, &text(config_map), "revision {}", revision);
                }
                // What nothing but a ConfigMap knows cannot be known without it.
                if let Some(index) = deleted.filter(|_| reaches >= Reaches::Status)
                    && index < held.config_maps.len()
                {
                    held.config_maps.remove(index);
                }
                if let Some(status) = &held.status {
                    prop_assert!(status.revision >= last, "a revision went back");
                    last = status.revision;
                }
            }
            pass(&mut held, 9, Reaches::Prune);
            let settled = held.clone();
            pass(&mut held, 9, Reaches::Prune);
            prop_assert_eq!(&settled.status, &held.status);
            prop_assert_eq!(settled.config_maps, held.config_maps);
        }
    }
}
