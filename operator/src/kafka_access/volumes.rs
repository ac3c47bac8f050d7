//! Secrets as volumes of the pods. Pure.

use std::collections::BTreeMap;

use crds::job::SECRETS_FOLDER;
use k8s_openapi::api::core::v1::{KeyToPath, SecretVolumeSource, Volume, VolumeMount};

use super::refs::Reference;

/// Begins the name of each volume; its folder follows.
const VOLUME_PREFIX: &str = "kafka-";

/// One volume for each folder. It holds only the keys that the spec names, under the file names of
/// [`super::refs::Part`].
pub(super) fn volumes(references: &[Reference<'_>]) -> Vec<Volume> {
    let mut folders: BTreeMap<&str, Vec<&Reference<'_>>> = BTreeMap::new();
    for reference in references {
        folders.entry(reference.part.place().0).or_default().push(reference);
    }
    let item = |reference: &&Reference<'_>| KeyToPath {
        key: reference.key.to_owned(),
        path: reference.part.place().1.to_owned(),
        mode: None,
    };
    let volume = |(folder, references): (&str, Vec<&Reference<'_>>)| Volume {
        name: format!("{VOLUME_PREFIX}{folder}"),
        secret: Some(SecretVolumeSource {
            secret_name: references.first().map(|reference| reference.secret.to_owned()),
            items: Some(references.iter().map(item).collect()),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    };
    folders.into_iter().map(volume).collect()
}

/// Where the container finds these volumes.
pub(super) fn mounts(volumes: &[Volume]) -> Vec<VolumeMount> {
    let mount = |volume: &Volume| VolumeMount {
        mount_path: format!("{SECRETS_FOLDER}/{}", volume.name.trim_start_matches(VOLUME_PREFIX)),
        name: volume.name.clone(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    volumes.iter().map(mount).collect()
}
