//! The calls of librdkafka for which the safe binding has no equal: batches in both directions, and transactions that send
//! the offsets of a consumer made here.
//!
//! Rules that keep this sound:
//! - A [`Client`] owns one `rd_kafka_t`, destroyed when it is dropped; consumers, producers and lists own what they point
//!   to in the same way, and nothing outlives the client it came from (a struct's fields are dropped in order, the client
//!   last).
//! - Callbacks run only inside calls made here, on the calling thread, but for the log callback, which touches no state of
//!   ours. They push events into an [`Inbox`] that lives as long as the client; nothing else happens in them.
//! - Messages are borrowed from a [`consumer::Batch`], which gives them back when it is dropped.
//! - What is produced is copied by librdkafka before the call returns (`RD_KAFKA_MSG_F_COPY`).
#![allow(unsafe_code, reason = "the one module that calls C")]

pub mod consumer;
pub mod producer;

mod client;

mod event;
mod group;
mod list;

pub(crate) mod ffi;

pub use event::{Event, Rebalance};
pub use group::GroupMetadata;
