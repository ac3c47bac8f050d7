//! The edge to Kafka: librdkafka, and what has to be known about it.
//!
//! `native` is the only unsafe code of the processor: librdkafka's batch calls, which cost a third of the safe binding's
//! calls for each message, and the transaction calls that go with them; `transaction` is what both stages make of these.
//! `cluster` asks the seldom questions through the safe binding. `settings` is pure but for the files of secrets, which it names and reads.

pub mod transaction;

pub mod cluster;
pub mod error;
pub mod native;
pub mod settings;
pub mod trouble;
