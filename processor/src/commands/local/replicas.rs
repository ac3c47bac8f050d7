//! The replicas of a run: performs what `fleet` decides, and tells how they are.

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
use crate::replica::supervised::Told;

/// How often it is looked whether one has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Why replicas do not go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplicasError {
    /// One ended that was not to.
    #[error("replica {name} ended by itself, {status}; the end of its log:{log}")]
    Ended {
        /// Which.
        name: String,
        /// With what.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// The system refuses a process.
    #[error("the operating system refuses: {0}")]
    System(#[from] io::Error),
}

/// A replica, as it is seen from here.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// What it does.
    pub state: State,
    /// Which process of this name it is, from 0.
    pub incarnation: usize,
    /// Where its HTTP server listens.
    pub address: Option<SocketAddr>,
}

/// All replicas.
#[derive(Debug)]
pub struct Replicas {
    folder: PathBuf,
    fleet: Fleet,
    children: BTreeMap<usize, Child>,
    started: usize,
    incarnations: BTreeMap<usize, usize>,
    looked: Instant,
    /// Whether nobody is started again.
    draining: bool,
}

impl Replicas {
    /// Starts so many. With `takes_faults` one that is killed is started again.
    ///
    /// # Errors
    /// When the system refuses a process.
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

    /// How many there are to be.
    #[must_use]
    pub fn count(&self) -> usize {
        self.fleet.count()
    }

    /// Whether all of them run: otherwise outcomes may take their time.
    #[must_use]
    pub fn all_run(&self) -> bool {
        self.fleet.all_run()
    }

    /// Does what a person wants, and returns what to tell.
    ///
    /// # Errors
    /// When the system refuses a process.
    pub fn wish(&mut self, wish: Wish) -> io::Result<String> {
        let (effects, told) = self.fleet.wish(wish);
        effects.into_iter().try_for_each(|effect| self.perform(effect))?;
        Ok(told)
    }

    /// Lets those go on that were paused.
    ///
    /// # Errors
    /// Never: none is started.
    pub fn resume(&mut self) -> io::Result<()> {
        self.fleet.resume().into_iter().try_for_each(|effect| self.perform(effect))
    }

    /// Looks who has ended, starts again who is due, and returns what to tell.
    ///
    /// # Errors
    /// When one ended that was not to, or the system refuses a process.
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

    /// How many partitions they have taken up, if all are ready; else what they lack.
    ///
    /// # Errors
    /// What those lack that are not ready.
    pub fn active(&self) -> Result<u64, Vec<String>> {
        let (mut active, mut problems) = (0, Vec::new());
        for (number, child) in &self.children {
            match (child.status().active(), child.status().last) {
                (Some(partitions), _) => active += partitions,
                (None, Some(Told::NotReady(problem))) => problems.push(format!("{}: {problem}", name(*number))),
                (None, _) => problems.push(format!("{} has not begun", name(*number))),
            }
        }
        if problems.is_empty() { Ok(active) } else { Err(problems) }
    }

    /// How each is.
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

    /// Tells stage 1 of all of them to end.
    pub fn drain(&mut self) {
        self.draining = true;
        self.children.values_mut().for_each(Child::drain);
    }

    /// Whether stage 1 of all of them has ended.
    #[must_use]
    pub fn have_drained(&self) -> bool {
        self.children.values().all(|child| child.status().last == Some(Told::Drained))
    }

    /// Ends all of them. Returns the names of those that did not end by themselves.
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
        // All at once, not one after the other.
        self.children.values_mut().for_each(Child::stop);
    }
}
