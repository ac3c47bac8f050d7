//! The history that a seed stands for: rules and their changes, events, and the order of actions.

use std::rc::Rc;

use crds::{
    job::{JobConfig, Rules},
    pipeline::{Alert, Dimension, Duration, Field, LoginPipelineSpec, Window},
    topics::PipelineId,
};
use processor::commands::generate::random::Random;

use super::world::{Entry, Login, World};

/// The next action.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    Produce,
    Thread,
    Replica,
    Pass,
    /// A long time in which only some partitions get events.
    Silence,
    Rebalance,
    CrashThread,
    HangThread,
    CrashReplica,
    StartReplica,
    HangReplica,
    MoveDeltas,
    Change,
    Roll,
    Grow,
    LoseIngestOffsets,
    LoseAggregateOffsets,
    LoseSource,
    Compact,
}

#[derive(Debug)]
pub struct Plan {
    weights: Vec<(Action, u64)>,
    pub steps: u64,
    pub partitions: usize,
    pub threads: usize,
    pub replicas: usize,
    /// The number of distinct values of a dimension.
    values: u64,
    /// How far events of each partition lag, in seconds.
    lags: Vec<u64>,
    /// The partitions that currently get events.
    awake: Vec<bool>,
}

impl Plan {
    pub fn new(random: &mut Random) -> Self {
        use Action::{
            Change, Compact, CrashReplica, CrashThread, Grow, HangReplica, HangThread, LoseAggregateOffsets,
            LoseIngestOffsets, LoseSource, MoveDeltas, Pass, Produce, Rebalance, Replica, Roll, Silence, StartReplica,
            Thread,
        };
        let mut weights = vec![(Produce, 30), (Thread, 60), (Replica, 50), (Pass, 20), (Roll, 4), (Compact, 2)];
        // Each fault happens in some histories only, so that the others get far.
        for (action, weight) in [
            (Silence, 2),
            (Rebalance, 3),
            (CrashThread, 2),
            (HangThread, 2),
            (CrashReplica, 2),
            (StartReplica, 2),
            (HangReplica, 2),
            (MoveDeltas, 3),
            (Change, 2),
            (Grow, 1),
            (LoseIngestOffsets, 1),
            (LoseAggregateOffsets, 1),
            (LoseSource, 1),
        ] {
            if random.below(2) == 0 {
                weights.push((action, weight));
            }
        }
        let lag = |random: &mut Random| if random.below(4) == 0 { random.below(100) } else { random.below(4) };
        Self {
            weights,
            steps: 60 + random.below(140),
            partitions: 1 + random.below(4) as usize,
            threads: 1 + random.below(3) as usize,
            replicas: 1 + random.below(3) as usize,
            values: 2 + random.below(12),
            lags: (0..8).map(|_| lag(random)).collect(),
            awake: (0..8).map(|_| random.below(4) > 0).collect(),
        }
    }

    pub fn next(&self, random: &mut Random) -> Action {
        random.weighted(&self.weights, Action::Pass)
    }

    /// From now on, other partitions get events.
    pub fn turn_over(&mut self, random: &mut Random) {
        self.awake.iter_mut().for_each(|awake| *awake = random.below(2) == 0);
    }

    /// Produces events to the active partitions.
    pub fn produce(&mut self, world: &mut World) {
        if world.random.below(12) == 0 {
            let partition = world.random.below(self.awake.len() as u64) as usize;
            self.awake[partition] = !self.awake[partition];
        }
        for partition in 0..world.source.len() {
            if !self.awake[partition] {
                continue;
            }
            for _ in 0..world.random.below(6) {
                let entry = (world.random.below(12) > 0).then(|| self.event(world, partition));
                let now_ms = world.now_ms;
                let source = &mut world.source[partition];
                source.last_ms = now_ms;
                source.entries.push(entry);
            }
        }
    }

    /// Produces one more event, of the current time, to any partition.
    pub fn last_event(world: &mut World) {
        let partition = world.random.below(world.source.len() as u64) as usize;
        let login = Login { time: world.now_ms / 1000, user: None, values: [None, None, None] };
        let entry = Entry { timestamp_ms: world.now_ms, value: json(&login), login: Some(login) };
        world.source[partition].entries.push(Some(entry));
    }

    fn event(&self, world: &mut World, partition: usize) -> Entry {
        let (now_ms, random) = (world.now_ms, &mut world.random);
        let behind = match random.below(40) {
            0 => 86_400 + random.below(100),
            1..4 => 20 + random.below(200),
            _ => self.lags[partition] + random.below(3),
        };
        let time = now_ms / 1000 - behind as i64;
        let mut value = |number: u64| (random.below(10) > 0).then(|| text(random.skewed_below(number)));
        let values = [value(3), value(self.values), value(self.values)];
        let user = (random.below(10) > 0).then(|| format!("u{}", random.skewed_below(40)));
        let login = Login { time, user, values };
        match random.below(30) {
            0 => Entry { timestamp_ms: now_ms, value: b"{\"user_id\"".to_vec(), login: None },
            1 => {
                let future = Login { time: now_ms / 1000 + 301, ..login };
                Entry { timestamp_ms: now_ms, value: json(&future), login: None }
            }
            _ => Entry { timestamp_ms: now_ms, value: json(&login), login: Some(login) },
        }
    }
}

fn text(number: u64) -> String {
    match number {
        // The name that stands for all other values may itself be a value.
        5 => "_other".to_owned(),
        6 => "ü/\\\"".to_owned(),
        number => format!("v{number}"),
    }
}

fn json(login: &Login) -> Vec<u8> {
    let mut members = vec![format!("\"timestamp\":{}", login.time)];
    let mut push = |name: &str, value: &Option<String>| {
        if let Some(value) = value {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            members.push(format!("\"{name}\":\"{escaped}\""));
        }
    };
    push("user_id", &login.user);
    for (dimension, value) in Dimension::ALL.iter().zip(&login.values) {
        push(dimension.name(), value);
    }
    format!("{{{}}}", members.join(",")).into_bytes()
}

/// The first config of a history.
pub fn first_job(random: &mut Random) -> Rc<JobConfig> {
    let spec: LoginPipelineSpec =
        serde_json::from_str(r#"{"kafka":{"external":{"bootstrapServers":"localhost:9092"}}}"#).unwrap();
    let id = PipelineId { namespace: "ns".to_owned(), name: "logins".to_owned() };
    let mut job = JobConfig::new(id, &spec, 1, "localhost:9092".to_owned());
    job.rules = rules(random);
    Rc::new(job)
}

/// The next config: new rules, or changed ones.
pub fn next_job(random: &mut Random, job: &JobConfig) -> Rc<JobConfig> {
    let mut job = JobConfig { revision: job.revision + 1 + random.below(2), ..job.clone() };
    let other = rules(random);
    let (own, new) = (&mut job.rules.aggregation, other.aggregation);
    match random.below(10) {
        0 => *own = new,
        1 | 2 => own.windows = new.windows,
        3 | 4 => own.dimensions = new.dimensions,
        5 => own.max_values = new.max_values,
        6 => own.unique_users = !own.unique_users,
        7 => own.allowed_lateness = new.allowed_lateness,
        8 => own.retention = new.retention,
        _ => job.rules.alerts = other.alerts,
    }
    Rc::new(job)
}

fn rules(random: &mut Random) -> Rules {
    let mut rules = Rules::default();
    // The fields of an event are random.
    rules.validation.required = vec![Field::Timestamp];
    let smallest = 5 + 5 * random.below(2);
    let mut windows = vec![Window::Finite(Duration::from_secs(smallest))];
    for (size, share) in [(10, 2), (30, 2), (60, 3)] {
        if size > smallest && random.below(share) == 0 {
            windows.push(Window::Finite(Duration::from_secs(size)));
        }
    }
    if random.below(4) > 0 {
        windows.push(Window::All);
    }
    let aggregation = &mut rules.aggregation;
    aggregation.dimensions.retain(|_| random.below(4) > 0);
    aggregation.max_values = if random.below(4) == 0 { 100 } else { 2 + random.below(5) as i32 };
    aggregation.unique_users = random.below(4) > 0;
    aggregation.allowed_lateness = Duration::from_secs(random.below(10));
    aggregation.idle_timeout = Duration::from_secs(1 + random.below(5));
    aggregation.retention = Duration::from_secs([0, 10, 60, 600][random.below(4) as usize]);
    let dimensions = aggregation.dimensions.clone();
    rules.alerts = (0..random.below(4)).map(|number| alert(random, number, &windows, &dimensions)).collect();
    rules.aggregation.windows = windows;
    rules
}

fn alert(random: &mut Random, number: u64, windows: &[Window], dimensions: &[Dimension]) -> Alert {
    let dimension = dimensions.get(random.below(dimensions.len() as u64 + 1) as usize).copied();
    let value = dimension.filter(|_| random.below(2) == 0).map(|_| text(random.below(8)));
    let window = windows[random.below(windows.len() as u64) as usize];
    let deviates = window != Window::All && random.below(4) == 0;
    Alert {
        name: format!("alert{number}"),
        dimension,
        value,
        window,
        above: (!deviates).then(|| random.below(6) as i64),
        deviation: deviates.then_some(1.0),
    }
}
