//! One broker: its configuration, data folder and process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::listeners::Listeners;
use crate::Error;
use crate::port::Port;
use crate::process::{Folder, Process, Program};

/// Any text is valid.
const CLUSTER_ID: &str = "bG9naW4tcGlwZWxpbmUtMQ";

const LOCALHOST: &str = "127.0.0.1";

/// A broker that is also a controller, running or not.
pub(super) struct Broker {
    id: i32,
    /// The address that serves clients.
    host: &'static str,
    port: Port,
    controller: Port,
    heap: &'static str,
    installation: PathBuf,
    configuration: PathBuf,
    /// Listeners in addition to the plain one.
    listeners: Option<Listeners>,
    process: Option<Process>,
    folder: Folder,
}

impl Broker {
    /// Prepares the files of `count` brokers of one cluster; it starts none.
    pub(super) fn prepare(count: usize, installation: &Path, folder: &Folder) -> Result<Vec<Self>, Error> {
        let heap = if count == 1 { "-Xmx512m" } else { "-Xmx256m" };
        let new = |id| Self::new(id, LOCALHOST, heap, installation, folder, None);
        let brokers: Vec<_> = (1..).take(count).map(new).collect();
        let voters: Vec<_> = brokers.iter().map(Self::voter).collect();
        for broker in &brokers {
            broker.write(&voters)?;
        }
        Ok(brokers)
    }

    /// Prepares a single broker that serves clients on another address of this machine.
    pub(super) fn prepare_on(host: &'static str, installation: &Path, folder: &Folder) -> Result<Vec<Self>, Error> {
        let broker = Self::new(1, host, "-Xmx512m", installation, folder, None);
        broker.write(&[broker.voter()])?;
        Ok(vec![broker])
    }

    /// Prepares a single broker with more listeners.
    pub(super) fn prepare_secured(
        listeners: Listeners,
        installation: &Path,
        folder: &Folder,
    ) -> Result<Vec<Self>, Error> {
        let broker = Self::new(1, listeners.host, "-Xmx512m", installation, folder, Some(listeners));
        broker.write(&[broker.voter()])?;
        Ok(vec![broker])
    }

    fn new(
        id: i32,
        host: &'static str,
        heap: &'static str,
        installation: &Path,
        folder: &Folder,
        listeners: Option<Listeners>,
    ) -> Self {
        Self {
            id,
            host,
            port: Port::claim(),
            controller: Port::claim(),
            heap,
            installation: installation.to_owned(),
            configuration: folder.path().join(format!("broker-{id}.properties")),
            listeners,
            process: None,
            folder: folder.clone(),
        }
    }

    fn voter(&self) -> String {
        format!("{}@127.0.0.1:{}", self.id, self.controller.number)
    }

    pub(super) fn id(&self) -> i32 {
        self.id
    }

    pub(super) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port.number)
    }

    /// Starts the process; it is not ready yet.
    pub(super) fn start(&mut self) -> Result<(), Error> {
        let program = Program::new(format!("broker-{}", self.id), "java")
            .args(java(&self.installation))
            .args([self.heap, "kafka.Kafka"])
            .arg(&self.configuration);
        self.process = Some(program.spawn(&self.folder)?);
        Ok(())
    }

    /// Kills the process, if it runs.
    pub(super) fn kill(&mut self) {
        self.process = None;
    }

    /// Fails when the process has been started and has ended.
    pub(super) fn check_running(&mut self) -> Result<(), Error> {
        self.process.as_mut().map_or(Ok(()), Process::check_running)
    }

    /// The error for a broker that is not ready in time.
    pub(super) fn late(&self, bound: Duration) -> Error {
        let log = self.process.as_ref().map(Process::shown).unwrap_or_default();
        Error::Timeout { what: format!("the start of broker {}", self.id), bound, detail: format!(":\n{log}") }
    }

    /// Writes the configuration and a formatted data folder.
    fn write(&self, voters: &[String]) -> Result<(), Error> {
        let doing = || Error::io("cannot write the files of a broker");
        let data = self.folder.path().join(format!("broker-{}", self.id));
        let secured = self.listeners.as_ref().map(|listeners| listeners.write(self.folder.path()));
        let mut properties = self.properties(voters, &data);
        properties.push_str(&secured.transpose().map_err(doing())?.unwrap_or_default());
        fs::write(&self.configuration, properties).map_err(doing())?;
        if self.listeners.is_some() { self.format() } else { self.copy_format(&data).map_err(doing()) }
    }

    /// Copies what `kafka-storage format` makes for a broker without users.
    fn copy_format(&self, data: &Path) -> std::io::Result<()> {
        fs::create_dir(data)?;
        let (id, cluster) = (self.id, CLUSTER_ID);
        fs::write(data.join("meta.properties"), format!("version=1\ncluster.id={cluster}\nnode.id={id}\n"))?;
        fs::copy(self.installation.join("bootstrap.checkpoint"), data.join("bootstrap.checkpoint")).map(drop)
    }

    /// Runs `kafka-storage format`.
    fn format(&self) -> Result<(), Error> {
        let configuration = self.configuration.display().to_string();
        let mut arguments = ["format", "-t", CLUSTER_ID, "-c", &configuration].map(str::to_owned).to_vec();
        arguments.extend(Listeners::users());
        tool(&self.installation, "kafka.tools.StorageTool", &arguments)
    }

    fn properties(&self, voters: &[String], data: &Path) -> String {
        let (replicas, in_sync) = (voters.len(), voters.len().min(2));
        let (id, address, controller) = (self.id, self.address(), self.controller.number);
        let (voters, data) = (voters.join(","), data.display());
        let secured = self.listeners.as_ref().map(Listeners::addresses).unwrap_or_default();
        format!(
            "\
process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
listeners=PLAINTEXT://{address},CONTROLLER://127.0.0.1:{controller}{secured}
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

/// Java options for the installed version. They favour a fast start over speed; the shared archive halves the start
/// time.
fn java(installation: &Path) -> Vec<String> {
    let archive = installation.join("classes.jsa");
    vec![
        "-XX:TieredStopAtLevel=1".to_owned(),
        "-XX:+UseSerialGC".to_owned(),
        "-Xshare:auto".to_owned(),
        format!("-XX:SharedArchiveFile={}", archive.display()),
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn".to_owned(),
        "-cp".to_owned(),
        installation.join("lib/*").display().to_string(),
    ]
}

/// Runs one of Kafka's tools to its end.
pub(super) fn tool(installation: &Path, class: &str, arguments: &[String]) -> Result<(), Error> {
    let run = Command::new("java").args(java(installation)).arg(class).args(arguments).output();
    let run = run.map_err(Error::io("cannot run java"))?;
    if run.status.success() {
        return Ok(());
    }
    let log = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned();
    Err(Error::Ended { name: class.to_owned(), status: run.status.code().unwrap_or(-1), log })
}
