//! Every example file, unchanged: the API server accepts it, and the operator reports no problem.

use std::path::Path;

use crds::pipeline::{ConditionStatus::True, LoginPipeline};
use serde::Deserialize;

use crate::support::{Operator, World};

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_taken() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut pipelines = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let manifest = std::fs::read_to_string(&path).unwrap();
        // In separate namespaces, because all of them have the same name.
        let world = World::new().await;
        let operator = Operator::start(&world).await;
        world.apply(&manifest).unwrap_or_else(|refused| panic!("{}: {refused}", path.display()));
        for document in serde_yaml::Deserializer::from_str(&manifest) {
            let name = LoginPipeline::deserialize(document).unwrap().metadata.name.unwrap();
            world.wait_condition(&name, "ConfigValid", True, "SpecAccepted").await;
            pipelines += 1;
        }
        drop(operator);
    }

    assert!(pipelines > 6, "{pipelines} pipelines");
}
