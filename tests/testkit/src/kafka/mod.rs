//! Real Kafka clusters: KRaft brokers in their own processes, or the cluster that `KAFKA_BOOTSTRAP` names.

mod broker;
mod isolation;
mod listeners;
mod records;
mod secured;
mod topics;

pub use secured::{Identity, LIMITED, PASSWORD, Secured, USER};

pub use isolation::Isolation;
pub use records::{NewRecord, Record};
pub use topics::Committed;

use std::collections::BTreeSet;
use std::env;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::MetadataBroker;

use self::broker::Broker;
use crate::process::Folder;
use crate::wait::poll;
use crate::{Error, cache};

/// The time limit for a broker to start: it takes two seconds, or many more on a busy machine.
const START: Duration = Duration::from_secs(90);
/// The time limit for one request to a cluster that may just have lost a broker.
const REQUEST: Duration = Duration::from_secs(30);

/// A Kafka cluster without TLS and authentication, on 127.0.0.1. It ends with this value, or with the test.
///
/// Internal topics are replicated on every broker, with small partition counts. Topics are never created automatically,
/// and records are kept for ever. All other settings are Kafka's defaults.
pub struct Cluster {
    bootstrap: String,
    /// Empty for a cluster of others.
    brokers: Mutex<Vec<Broker>>,
}

impl Cluster {
    /// Starts a cluster of `brokers` brokers (1 or 3), and returns when all of them serve requests.
    ///
    /// # Errors
    /// When the services cannot be installed, or a broker does not start: then with the end of its log.
    pub fn start(brokers: usize) -> Result<Self, Error> {
        Self::start_with(|installation, folder| Broker::prepare(brokers, installation, folder))
    }

    /// Starts one broker that serves clients only on this address of this machine, such as
    /// [`Node::address`](crate::node::Node::address).
    ///
    /// # Errors
    /// Those of [`Cluster::start`].
    pub fn start_on(address: &'static str) -> Result<Self, Error> {
        Self::start_with(|installation, folder| Broker::prepare_on(address, installation, folder))
    }

    fn start_with(prepare: impl FnOnce(&Path, &Folder) -> Result<Vec<Broker>, Error>) -> Result<Self, Error> {
        let installation = cache::kafka()?;
        let folder = Folder::new("kafka")?;
        let mut brokers = prepare(&installation, &folder)?;
        for broker in &mut brokers {
            broker.start()?;
        }
        let all: BTreeSet<_> = brokers.iter().map(Broker::id).collect();
        for broker in &mut brokers {
            ready(broker, &all)?;
        }
        let bootstrap = brokers.iter().map(Broker::address).collect::<Vec<_>>().join(",");
        Ok(Self { bootstrap, brokers: Mutex::new(brokers) })
    }

    /// A client of the cluster that `KAFKA_BOOTSTRAP` names, if it is set.
    fn foreign() -> Option<Self> {
        let bootstrap = env::var("KAFKA_BOOTSTRAP").ok().filter(|value| !value.is_empty())?;
        Some(Self { bootstrap, brokers: Mutex::default() })
    }

    /// The value for `bootstrap.servers`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Kills broker `index` (from 0) with SIGKILL. The others notice within the session timeout of 6 s.
    ///
    /// # Errors
    /// [`Error::Foreign`], [`Error::NoSuchBroker`].
    pub fn kill_broker(&self, index: usize) -> Result<(), Error> {
        nth(&mut self.brokers(), index, "kill a broker")?.kill();
        Ok(())
    }

    /// Starts broker `index` (from 0) again, on the same port and with the same data, and returns when it serves
    /// requests. That needs a majority of the brokers.
    ///
    /// # Errors
    /// [`Error::Foreign`], [`Error::NoSuchBroker`], or the reason that the broker does not start.
    pub fn restart_broker(&self, index: usize) -> Result<(), Error> {
        let mut brokers = self.brokers();
        let broker = nth(&mut brokers, index, "restart a broker")?;
        broker.kill();
        broker.start()?;
        let itself = BTreeSet::from([broker.id()]);
        ready(broker, &itself)
    }

    /// Stops the cluster now, and removes its data. Dropping it does the same.
    pub fn stop(self) {
        drop(self);
    }

    /// The settings of every client here: the cluster's address, and a fast reconnect after an outage.
    pub(crate) fn client(&self) -> ClientConfig {
        client(&self.bootstrap)
    }

    fn brokers(&self) -> MutexGuard<'_, Vec<Broker>> {
        self.brokers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The cluster that the tests of this process share: the one that `KAFKA_BOOTSTRAP` names, otherwise one broker that
/// this process starts. The tests use topics and groups with [`unique`](crate::unique) names, and stop none of its
/// brokers.
///
/// # Panics
/// When it cannot be started: no test can continue then.
#[expect(clippy::panic, reason = "an assertion of tests")]
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    let start = || Cluster::start(1).unwrap_or_else(|error| panic!("no Kafka cluster: {error}"));
    SHARED.get_or_init(|| Cluster::foreign().unwrap_or_else(start))
}

fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "200")
        .set("allow.auto.create.topics", "false");
    config
}

fn nth<'a>(brokers: &'a mut [Broker], index: usize, what: &'static str) -> Result<&'a mut Broker, Error> {
    let Some(last) = brokers.len().checked_sub(1) else { return Err(Error::Foreign { what }) };
    brokers.get_mut(index).ok_or(Error::NoSuchBroker { broker: index, last })
}

/// Waits until the broker itself answers a request, and knows the brokers `expected`.
fn ready(broker: &mut Broker, expected: &BTreeSet<i32>) -> Result<(), Error> {
    let asking: BaseConsumer = client(&broker.address()).create().map_err(Error::kafka("cannot make a client"))?;
    let outcome = poll(START, || {
        if let Err(error) = broker.check_running() {
            return Some(Err(error));
        }
        let metadata = asking.fetch_metadata(None, Duration::from_millis(500)).ok()?;
        let known = metadata.brokers().iter().map(MetadataBroker::id).collect();
        expected.is_subset(&known).then_some(Ok(()))
    });
    outcome.unwrap_or_else(|| Err(broker.late(START)))
}
