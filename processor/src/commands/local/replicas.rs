//! The replicas of a run: performs the effects that `fleet` decides on, and reports the replicas' states.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{
    child::Child,
    fleet::{Effect, Ended, Fleet, RESTART, State, Wish, name},
};
use crate::replica::supervised::Report;

/// How often to check whether a replica has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Why the replicas cannot continue.
#[derive(Debug, thiserror::Error)]
pub enum ReplicasError {
    /// A replica ended that should run.
    #[error("replica {name} ended by itself, {status}; the end of its log:{log}")]
    Ended {
        name: String,
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// The operating system refuses a process.
    #[error("the operating system refuses: {0}")]
    System(#[from] io::Error),
}

/// A replica as the page shows it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub name: String,
    pub state: State,
    /// Identifies its process: the number of processes that were started before it, in the whole run.
    pub incarnation: usize,
    /// Where its HTTP server listens.
    pub address: Option<SocketAddr>,
}

#[derive(Debug)]
pub struct Replicas {
    folder: PathBuf,
    fleet: Fleet,
    children: BTreeMap<usize, Child>,
    started: usize,
    incarnations: BTreeMap<usize, usize>,
    looked: Instant,
    /// Whether the replicas drain: none is restarted then.
    draining: bool,
}

impl Replicas {
    /// Starts `count` replicas. With `takes_faults`, a killed replica is restarted.
    ///
    /// # Errors
    /// When the operating system refuses a process.
    pub fn start(folder: &Path, count: usize, takes_faults: bool) -> io::Result<Self> {
        let mut replicas = Self {
            folder: folder.to_owned(),
            fleet: Fleet::new(count, takes_faults),
            children: BTreeMap::new(),
            started: 0,
            incarnations: BTreeMap::new(),
            looked: Instant::now(),
            draining: false,
        };
        (0..count).try_for_each(|number| replicas.perform(Effect::Start(number)))?;
        Ok(replicas)
    }

    /// Desired replicas.
    #[must_use]
    pub fn count(&self) -> usize {
        self.fleet.count()
    }

    /// Whether all replicas run; otherwise outcomes may take longer.
    #[must_use]
    pub fn all_run(&self) -> bool {
        self.fleet.all_run()
    }

    /// Performs a request of the user, and returns a message for the user.
    ///
    /// # Errors
    /// When the operating system refuses a process.
    pub fn wish(&mut self, wish: Wish) -> io::Result<String> {
        let (effects, told) = self.fleet.wish(wish);
        effects.into_iter().try_for_each(|effect| self.perform(effect))?;
        Ok(told)
    }

    /// Resumes the paused replicas.
    ///
    /// # Errors
    /// Never: no process is started.
    pub fn resume(&mut self) -> io::Result<()> {
        self.fleet.resume().into_iter().try_for_each(|effect| self.perform(effect))
    }

    /// Finds replicas that have ended, restarts those that are due, and returns messages for the user.
    ///
    /// # Errors
    /// When a replica ended that should run, or the operating system refuses a process.
    pub fn turn(&mut self) -> Result<Vec<String>, ReplicasError> {
        let now = Instant::now();
        let mut told = Vec::new();
        if now.duration_since(self.looked) < LOOK {
            return Ok(told);
        }
        self.looked = now;
        let mut ended = Vec::new();
        for (number, child) in &mut self.children {
            ended.extend(child.ended()?.map(|status| (*number, status)));
        }
        for (number, status) in ended {
            let Some(child) = self.children.remove(&number) else { continue };
            match self.fleet.ended(number, status.signal().is_some(), now) {
                Ended::Expected => told.push(format!("{} has ended", name(number))),
                Ended::Restarts => {
                    told.push(format!("{} is gone; it is started again in {} s", name(number), RESTART.as_secs()));
                }
                Ended::Failed => {
                    return Err(ReplicasError::Ended { name: name(number), status, log: child.log_end() });
                }
            }
        }
        let due = if self.draining { Vec::new() } else { self.fleet.due(now) };
        for effect in due {
            self.perform(effect)?;
            if let Effect::Start(number) = effect {
                told.push(format!("{} is started again", name(number)));
            }
        }
        Ok(told)
    }

    /// Number of partitions that the replicas have taken up, once all replicas are ready.
    ///
    /// # Errors
    /// The problems of the replicas that are not ready.
    pub fn active(&self) -> Result<u64, Vec<String>> {
        let (mut active, mut problems) = (0, Vec::new());
        for (number, child) in &self.children {
            match (child.status().active(), child.status().last) {
                (Some(partitions), _) => active += partitions,
                (None, Some(Report::NotReady(problem))) => problems.push(format!("{}: {problem}", name(*number))),
                (None, _) => problems.push(format!("{} has not begun", name(*number))),
            }
        }
        if problems.is_empty() { Ok(active) } else { Err(problems) }
    }

    /// The state of each replica.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        let seen = |(number, state)| Seen {
            name: name(number),
            state,
            incarnation: self.incarnations.get(&number).copied().unwrap_or_default(),
            address: self.children.get(&number).and_then(|child| child.status().address),
        };
        self.fleet.members().map(seen).collect()
    }

    /// Tells all replicas to end their stage 1.
    pub fn drain(&mut self) {
        self.draining = true;
        self.children.values_mut().for_each(Child::drain);
    }

    /// Whether stage 1 of all replicas has ended.
    #[must_use]
    pub fn have_drained(&self) -> bool {
        self.children.values().all(|child| child.status().last == Some(Report::Drained))
    }

    /// Ends all replicas. Returns the names of those that had to be killed.
    pub fn stop(&mut self) -> Vec<String> {
        self.children.values_mut().for_each(Child::stop);
        let mut children = std::mem::take(&mut self.children);
        let hung = children.iter_mut().filter_map(|(number, child)| (!child.join()).then_some(*number));
        hung.map(name).collect()
    }

    fn perform(&mut self, effect: Effect) -> io::Result<()> {
        match effect {
            Effect::Start(number) => {
                self.children.insert(number, Child::start(&self.folder, &name(number))?);
                self.incarnations.insert(number, self.started);
                self.started += 1;
            }
            Effect::Kill(number) => self.signal(number, Signal::KILL),
            Effect::Pause(number) => self.signal(number, Signal::STOP),
            Effect::Resume(number) => self.signal(number, Signal::CONT),
            Effect::Stop(number) => {
                if let Some(child) = self.children.get_mut(&number) {
                    child.stop();
                }
            }
        }
        Ok(())
    }

    fn signal(&self, number: usize, signal: Signal) {
        if let Some(child) = self.children.get(&number) {
            child.signal(signal);
        }
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        // Stops all at once, so that their ends do not add up.
        self.children.values_mut().for_each(Child::stop);
    }
}
