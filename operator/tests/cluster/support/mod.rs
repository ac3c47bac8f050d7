//! An API server with the CRDs, a separate namespace, the operator as a process, and a stand-in for the controllers.

mod definitions;
mod operator;
mod stand_in;
mod user;
mod world;

use std::time::Duration;

pub use self::{
    operator::Operator,
    stand_in::{Answer, StandIn},
    user::User,
    world::World,
};

/// The time limit for any action of the operator.
pub const BOUND: Duration = Duration::from_secs(60);

/// The manifest of the README.
pub const EXAMPLE: &str = include_str!("../../../../examples/pipeline.yaml");

/// The start of most scenarios: a namespace with a Kafka, an operator, and a stand-in, until they are dropped.
pub async fn started() -> (World, Operator, StandIn) {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    let cluster = StandIn::start(&world, &[]);
    world.kafka("my-cluster").await;
    (world, operator, cluster)
}

/// The same, and the example is ready.
pub async fn running() -> (World, Operator, StandIn) {
    let (world, operator, cluster) = started().await;
    world.apply(EXAMPLE).unwrap();
    world.wait_ready("logins").await;
    (world, operator, cluster)
}
