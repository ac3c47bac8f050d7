//! What a pass needs beside the pipeline.

use kube::{
    Client,
    runtime::{events::Recorder, reflector::Store},
};

use crate::{pods::Measurements, resource::Guarded, topics::strimzi::Strimzi};

/// After this many failures in a row, which take some seven seconds, the last report of a pipeline counts no more.
pub(crate) const PATIENCE: u32 = 3;

/// What a pass needs beside the pipeline.
pub(crate) struct Surroundings<'a> {
    /// The client of the API server.
    pub client: &'a Client,
    /// The publisher of Events.
    pub recorder: &'a Recorder,
    /// Image of the processor, for specs that name none.
    pub processor_image: &'a str,
    /// What the API server says of Strimzi's resources.
    pub strimzi: &'a Strimzi,
    /// What the pods counted.
    pub measurements: &'a Measurements,
    /// How many passes over the pipeline have failed in a row before this one.
    pub failures: u32,
    /// Every pipeline that is watched, as the watch last reported it.
    pub pipelines: &'a Store<Guarded>,
}
