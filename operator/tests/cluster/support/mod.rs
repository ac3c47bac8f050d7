//! An API server with the CRDs, a namespace of one's own, the operator as a process, and who answers it.

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

/// For anything that the operator does.
pub const BOUND: Duration = Duration::from_secs(60);

/// The manifest of the README.
pub const EXAMPLE: &str = include_str!("../../../../examples/pipeline.yaml");

/// Most scenarios begin so: a namespace with a Kafka, an operator, and who answers it, until they are dropped.
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
