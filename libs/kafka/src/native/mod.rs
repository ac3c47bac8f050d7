//! The librdkafka calls that the safe binding lacks: batches in both directions, and transactions that send the offsets
//! of a consumer created here.
//!
//! Rules that keep this code sound:
//! - A [`Client`] owns one `rd_kafka_t`, which is destroyed when the client is dropped. Consumers, producers and lists
//!   own what they point to in the same way. Nothing outlives the client it came from: a struct's fields are dropped in
//!   order, the client last.
//! - Callbacks run only inside calls made here, on the calling thread. The exception is the log callback, which touches
//!   no state of this module. The other callbacks only push events into an [`Inbox`] that lives as long as the client.
//! - Messages are borrowed from a [`consumer::Batch`], which destroys them when it is dropped.
//! - librdkafka copies produced records before the call returns (`RD_KAFKA_MSG_F_COPY`).
#![allow(unsafe_code, reason = "the one module that calls C")]

pub mod consumer;
pub mod producer;

mod client;

mod event;
mod group;
mod list;

pub(crate) mod ffi;

pub use event::{ClientEvent, Rebalance};
pub use group::GroupMetadata;
