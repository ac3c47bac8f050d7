//! One broker: its configuration, data folder and process.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Error;
use crate::port::Port;
use crate::process::{Folder, Process, Program};

/// Any text will do.
const CLUSTER_ID: &str = "bG9naW4tcGlwZWxpbmUtMQ";

/// A broker that is also a controller, running or not.
pub(super) struct Broker {
    id: i32,
    port: Port,
    controller: Port,
    heap: &'static str,
    installation: PathBuf,
    configuration: PathBuf,
    process: Option<Process>,
    folder: Folder,
}

impl Broker {
    /// Makes what `count` brokers of one cluster need on disk; none runs yet.
    pub(super) fn prepare(count: usize, installation: &Path, folder: &Folder) -> Result<Vec<Self>, Error> {
        let heap = if count == 1 { "-Xmx512m" } else { "-Xmx256m" };
        let brokers: Vec<_> = (1..)
            .take(count)
            .map(|id| Self {
                id,
                port: Port::claim(),
                controller: Port::claim(),
                heap,
                installation: installation.to_owned(),
                configuration: folder.path().join(format!("broker-{id}.properties")),
                process: None,
                folder: folder.clone(),
            })
            .collect();
        let voters: Vec<_> =
            brokers.iter().map(|broker| format!("{}@127.0.0.1:{}", broker.id, broker.controller.number)).collect();
        for broker in &brokers {
            broker.write(&voters).map_err(Error::io("cannot write the files of a broker"))?;
        }
        Ok(brokers)
    }

    pub(super) fn id(&self) -> i32 {
        self.id
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number)
    }

    /// Starts the process; it is not ready yet.
    pub(super) fn start(&mut self) -> Result<(), Error> {
        let archive = self.installation.join("classes.jsa");
        let program = Program::new(format!("broker-{}", self.id), "java")
            // Starting fast matters more here than running fast; the shared archive saves half of it.
            .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", self.heap])
            .arg(format!("-XX:SharedArchiveFile={}", archive.display()))
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .arg("-cp")
            .arg(self.installation.join("lib/*"))
            .arg("kafka.Kafka")
            .arg(&self.configuration);
        self.process = Some(program.spawn(&self.folder)?);
        Ok(())
    }

    /// Kills the process, if it runs.
    pub(super) fn kill(&mut self) {
        self.process = None;
    }

    /// Fails when the process was started and has ended.
    pub(super) fn check_running(&mut self) -> Result<(), Error> {
        self.process.as_mut().map_or(Ok(()), Process::check_running)
    }

    /// The error of a broker that is not ready in time.
    pub(super) fn late(&self, bound: Duration) -> Error {
        let log = self.process.as_ref().map(Process::shown).unwrap_or_default();
        Error::Timeout { what: format!("the start of broker {}", self.id), bound, detail: format!(":\n{log}") }
    }

    /// Writes the configuration and a formatted data folder, as `kafka-storage format` makes it.
    fn write(&self, voters: &[String]) -> std::io::Result<()> {
        let data = self.folder.path().join(format!("broker-{}", self.id));
        fs::create_dir(&data)?;
        let (id, cluster) = (self.id, CLUSTER_ID);
        fs::write(data.join("meta.properties"), format!("version=1\ncluster.id={cluster}\nnode.id={id}\n"))?;
        fs::copy(self.installation.join("bootstrap.checkpoint"), data.join("bootstrap.checkpoint"))?;
        fs::write(&self.configuration, self.properties(voters, &data))
    }

    fn properties(&self, voters: &[String], data: &Path) -> String {
        let (replicas, in_sync) = (voters.len(), voters.len().min(2));
        let (id, port, controller) = (self.id, self.port.number, self.controller.number);
        let (voters, data) = (voters.join(","), data.display());
        format!(
            "\
process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=1000
auto.create.topics.enable=false
log.retention.ms=-1
log.cleaner.dedupe.buffer.size=4194304
num.network.threads=2
num.io.threads=4
metric.reporters=
"
        )
    }
}
