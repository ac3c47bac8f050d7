//! A pipeline on the broker of a measurement: its topics, its job config, its replica as a process.

use std::{fs, path::Path, path::PathBuf};

use crds::{
    job::JobConfig,
    pipeline::LoginPipelineSpec,
    topics::{PipelineId, topics},
};
use testkit::{
    kafka::Cluster,
    process::{Folder, Process, Program},
};

use crate::error::BenchError;

pub(crate) struct Pipeline {
    /// The job config of its replicas.
    pub(crate) job: JobConfig,
    file: PathBuf,
}

impl Pipeline {
    /// Creates the missing topics.
    pub(crate) fn new(
        kafka: &Cluster,
        folder: &Folder,
        name: &str,
        source: &str,
        partitions: i32,
    ) -> Result<Self, BenchError> {
        let id = PipelineId { namespace: "bench".to_owned(), name: name.to_owned() };
        let topic = |of: &str| serde_json::json!({"topic": format!("{name}-{of}")});
        let spec: LoginPipelineSpec = serde_json::from_value(serde_json::json!({
            "kafka": {"external": {"bootstrapServers": kafka.bootstrap()}},
            "source": {"topic": source, "partitions": partitions},
            "output": topic("out"),
            "deadLetters": topic("dead"),
            "results": {"aggregates": topic("aggregates"), "insights": topic("insights"), "alerts": topic("alerts")},
        }))?;
        for topic in topics(&id, &spec) {
            if kafka.partitions(&topic.name)?.is_none() {
                let config: Vec<(&str, &str)> =
                    topic.config.iter().map(|(name, value)| (*name, value.as_str())).collect();
                kafka.create_topic(&topic.name, topic.partitions, &config)?;
            }
        }
        let job = JobConfig::new(id, &spec, 1, kafka.bootstrap().to_owned());
        let file = folder.path().join(format!("{name}.json"));
        let text = serde_json::to_string(&job)?;
        fs::write(&file, text).map_err(|error| BenchError::File(file.clone(), error))?;
        Ok(Self { job, file })
    }

    pub(crate) fn start(&self, processor: &Path, folder: &Folder) -> Result<Process, BenchError> {
        Ok(Program::new(format!("processor-{}", self.job.pipeline.name), processor)
            .args(["run", "--listen", "127.0.0.1:0", "--replica", "bench", "--config"])
            .arg(&self.file)
            .spawn(folder)?)
    }
}
