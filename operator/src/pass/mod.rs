//! One pass over one pipeline, from what is observed to what is reported. A module imports only modules above it.
//!
//! ```text
//!   observe       I/O   the resource and its children as they are now
//!   inputs        pure  what a revision is made from, beside the spec
//!   revisions     pure  what pods run: the revision that stays, a new one, or a rollback
//!   rollout       pure  how many pods, and whether their last change has failed
//!   desired       pure  the objects together
//!   outcome       pure  what a pass came to, as the steps below fill it in
//!   surroundings  I/O   what a pass needs beside the pipeline
//!   kafka         I/O   topics: observed, then made and changed
//!   plan          pure  what the pods are to run, from all of the above
//!   apply         I/O   the objects, in order, where they differ; then prune
//!   transactions  I/O   on which topics transactions are open
//!   drain         I/O   how far a suspended pipeline has come to rest
//!   status        pure  what to report
//!   events        both  what to tell of transitions
//!   finalize      both  what happens to the topics when the pipeline is deleted
//!   error         pure  why a pass failed
//!   report        I/O   the status, written only where it differs
//!   requeue       pure  when to come again
//!   ending        I/O   the pass over a pipeline that is deleted
//!   reconcile     I/O   the pass: the steps in their order
//! ```

pub(crate) mod apply;
pub mod desired;
pub(crate) mod drain;
pub(crate) mod ending;
pub(crate) mod error;
pub(crate) mod events;
pub(crate) mod finalize;
pub(crate) mod inputs;
pub(crate) mod kafka;
pub(crate) mod observe;
pub(crate) mod outcome;
pub(crate) mod plan;
pub(crate) mod reconcile;
pub(crate) mod report;
pub(crate) mod requeue;
pub(crate) mod revisions;
pub(crate) mod rollout;
pub(crate) mod status;
pub(crate) mod surroundings;
pub(crate) mod transactions;
