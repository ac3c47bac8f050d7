//! Which replicas there should be, and what is to be done so that they are. Pure: effects are for `replicas` to perform.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How long a replica that was killed stays away: about what Kubernetes takes to start a container again.
pub const RESTART: Duration = Duration::from_secs(3);

/// The most replicas.
pub const MOST: usize = 64;

/// What a replica does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running,
    /// It was stopped in its tracks.
    Paused,
    /// It drains, and is not started again.
    Stopping,
    /// It has ended, and is started again at this moment.
    Gone(Instant),
}

/// What is to be done to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Start it.
    Start(usize),
    /// End it at once.
    Kill(usize),
    /// Stop it in its tracks.
    Pause(usize),
    /// Let it go on.
    Resume(usize),
    /// Let it drain and end.
    Stop(usize),
}

/// What a person wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// One replica more.
    Add,
    /// One replica less.
    Remove,
    /// That a replica crashes.
    Kill,
    /// That a replica hangs, or goes on.
    Pause,
}

/// What the end of a replica means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was to end.
    Expected,
    /// It is started again.
    Restarts,
    /// It failed.
    Failed,
}

/// The replicas, by number.
#[derive(Clone, Debug)]
pub struct Fleet {
    members: BTreeMap<usize, State>,
    /// Whether a fault may do no harm: Kafka has real transactions.
    takes_faults: bool,
    /// Whom the last fault hit: the next one hits the one after.
    hit: Option<usize>,
}

/// What a replica is called.
#[must_use]
pub fn name(number: usize) -> String {
    format!("local-{number}")
}

impl Fleet {
    /// So many replicas, which run.
    #[must_use]
    pub fn new(count: usize, takes_faults: bool) -> Self {
        Self { members: (0..count).map(|number| (number, State::Running)).collect(), takes_faults, hit: None }
    }

    /// The replicas.
    pub fn members(&self) -> impl Iterator<Item = (usize, State)> {
        self.members.iter().map(|(number, state)| (*number, *state))
    }

    /// How many there are, but for those that are to end.
    #[must_use]
    pub fn count(&self) -> usize {
        self.members.values().filter(|state| **state != State::Stopping).count()
    }

    /// Whether all of them run: otherwise outcomes may take their time.
    #[must_use]
    pub fn all_run(&self) -> bool {
        self.members.values().all(|state| *state == State::Running)
    }

    /// What is to be done, and what to tell the person.
    pub fn wish(&mut self, wish: Wish) -> (Vec<Effect>, String) {
        match wish {
            Wish::Add => self.add(),
            Wish::Remove => self.remove(),
            Wish::Kill | Wish::Pause if !self.takes_faults => {
                let refused = "no faults here: the embedded broker has no real transactions, so that a replica's unfinished work would \
                               stay and count twice; with --bootstrap HOST:PORT they are shown on a real Kafka";
                (Vec::new(), refused.to_owned())
            }
            Wish::Kill => self.kill(),
            Wish::Pause => self.pause(),
        }
    }

    fn add(&mut self) -> (Vec<Effect>, String) {
        let free = (0..MOST).find(|number| !self.members.contains_key(number));
        let Some(number) = free else { return (Vec::new(), format!("{MOST} replicas are the most")) };
        self.members.insert(number, State::Running);
        (vec![Effect::Start(number)], format!("{} starts: replicas are {} now", name(number), self.count()))
    }

    fn remove(&mut self) -> (Vec<Effect>, String) {
        let stays = self.members.iter().rfind(|(_, state)| **state != State::Stopping);
        let Some((number, state)) = stays.map(|(number, state)| (*number, *state)).filter(|_| self.count() > 1) else {
            return (Vec::new(), "one replica is left, and stays: q ends".to_owned());
        };
        let effects = match state {
            State::Gone(_) => {
                self.members.remove(&number);
                Vec::new()
            }
            State::Running | State::Paused | State::Stopping => {
                self.members.insert(number, State::Stopping);
                vec![Effect::Stop(number)]
            }
        };
        (effects, format!("{} finishes what it began and ends: replicas are {} now", name(number), self.count()))
    }

    fn kill(&mut self) -> (Vec<Effect>, String) {
        let Some(number) = self.next_victim() else { return (Vec::new(), "no replica runs".to_owned()) };
        let told = format!(
            "{} is killed (SIGKILL): what it had not committed is processed again, after it is started again in {} s",
            name(number),
            RESTART.as_secs()
        );
        (vec![Effect::Kill(number)], told)
    }

    fn pause(&mut self) -> (Vec<Effect>, String) {
        if let Some((number, state)) = self.members.iter_mut().find(|(_, state)| **state == State::Paused) {
            *state = State::Running;
            let told = format!(
                "{} goes on (SIGCONT): Kafka refuses what it had begun, and it takes part again",
                name(*number)
            );
            return (vec![Effect::Resume(*number)], told);
        }
        let Some(number) = self.next_victim() else { return (Vec::new(), "no replica runs".to_owned()) };
        self.members.insert(number, State::Paused);
        let told = format!(
            "{} is paused (SIGSTOP): after 6 s without a sign of life its partitions go to others; p lets it go on",
            name(number)
        );
        (vec![Effect::Pause(number)], told)
    }

    /// The next one that runs.
    fn next_victim(&mut self) -> Option<usize> {
        let running = |(number, state): (&usize, &State)| (*state == State::Running).then_some(*number);
        let after = self.hit.map_or(0, |hit| hit + 1);
        let next = self.members.range(after..).find_map(running);
        self.hit = next.or_else(|| self.members.iter().find_map(running));
        self.hit
    }

    /// A replica has ended, by a signal or by itself.
    pub fn ended(&mut self, number: usize, by_signal: bool, now: Instant) -> Ended {
        match self.members.get(&number) {
            Some(State::Stopping) => {
                self.members.remove(&number);
                Ended::Expected
            }
            Some(State::Running | State::Paused) if by_signal && self.takes_faults => {
                self.members.insert(number, State::Gone(now + RESTART));
                Ended::Restarts
            }
            Some(State::Running | State::Paused) => Ended::Failed,
            Some(State::Gone(_)) | None => Ended::Expected,
        }
    }

    /// What is due: replicas that were away for long enough.
    pub fn due(&mut self, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (number, state) in &mut self.members {
            if matches!(state, State::Gone(until) if *until <= now) {
                *state = State::Running;
                effects.push(Effect::Start(*number));
            }
        }
        effects
    }

    /// Lets those go on that were paused: nothing more is to be tried.
    pub fn resume(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (number, state) in &mut self.members {
            if *state == State::Paused {
                *state = State::Running;
                effects.push(Effect::Resume(*number));
            }
        }
        effects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effects(fleet: &mut Fleet, wish: Wish) -> Vec<Effect> {
        fleet.wish(wish).0
    }

    #[test]
    fn replicas_come_and_go_at_the_end_of_the_row() {
        let mut fleet = Fleet::new(2, true);
        let now = Instant::now();
        assert_eq!(effects(&mut fleet, Wish::Add), [Effect::Start(2)]);
        assert_eq!(effects(&mut fleet, Wish::Remove), [Effect::Stop(2)]);
        assert_eq!(effects(&mut fleet, Wish::Add), [Effect::Start(3)], "the name of one that drains is taken");
        assert_eq!(fleet.ended(2, false, now), Ended::Expected);
        assert_eq!(effects(&mut fleet, Wish::Add), [Effect::Start(2)]);
        assert_eq!(fleet.count(), 4);
        for number in [3, 2, 1] {
            assert_eq!(effects(&mut fleet, Wish::Remove), [Effect::Stop(number)]);
        }
        let (effects, told) = fleet.wish(Wish::Remove);
        assert_eq!((effects, fleet.count()), (vec![], 1), "the last one stays");
        assert!(told.contains("one replica is left"), "{told}");
    }

    #[test]
    fn there_is_a_most() {
        let mut fleet = Fleet::new(MOST, true);
        assert_eq!(effects(&mut fleet, Wish::Add), []);
        assert_eq!(fleet.count(), MOST);
    }

    #[test]
    fn who_is_killed_is_started_again_under_the_same_name() {
        let mut fleet = Fleet::new(3, true);
        let now = Instant::now();
        for number in [0, 1, 2, 0] {
            assert_eq!(effects(&mut fleet, Wish::Kill), [Effect::Kill(number)], "one after the other");
            assert_eq!(fleet.ended(number, true, now), Ended::Restarts);
            assert!(!fleet.all_run());
            assert_eq!(fleet.due(now + RESTART / 2), []);
            assert_eq!(fleet.due(now + RESTART), [Effect::Start(number)]);
            assert!(fleet.all_run());
            assert_eq!(fleet.due(now + RESTART * 2), [], "once");
        }
    }

    #[test]
    fn a_key_pauses_one_and_lets_it_go_on() {
        let mut fleet = Fleet::new(2, true);
        assert_eq!(effects(&mut fleet, Wish::Pause), [Effect::Pause(0)]);
        assert_eq!(effects(&mut fleet, Wish::Kill), [Effect::Kill(1)], "not who is paused");
        assert_eq!(effects(&mut fleet, Wish::Pause), [Effect::Resume(0)]);
        assert_eq!(effects(&mut fleet, Wish::Pause), [Effect::Pause(0)], "after 1 it is 0's turn again");
        assert_eq!(fleet.resume(), [Effect::Resume(0)]);
        assert_eq!(fleet.resume(), []);
        assert!(fleet.all_run());
    }

    #[test]
    fn one_that_is_away_can_be_given_up() {
        let mut fleet = Fleet::new(2, true);
        let now = Instant::now();
        assert_eq!(fleet.ended(1, true, now), Ended::Restarts);
        assert_eq!(effects(&mut fleet, Wish::Remove), []);
        assert_eq!(fleet.due(now + RESTART), [], "it does not come back");
        assert_eq!(fleet.count(), 1);
    }

    #[test]
    fn a_replica_that_fails_is_no_fault_that_was_asked_for() {
        let now = Instant::now();
        assert_eq!(Fleet::new(2, true).ended(1, false, now), Ended::Failed);
        assert_eq!(Fleet::new(2, false).ended(1, true, now), Ended::Failed, "its unfinished work stays");
    }

    #[test]
    fn the_embedded_broker_takes_no_faults() {
        let mut fleet = Fleet::new(2, false);
        for wish in [Wish::Kill, Wish::Pause] {
            let (effects, told) = fleet.wish(wish);
            assert_eq!(effects, []);
            assert!(told.contains("no real transactions") && told.contains("--bootstrap"), "{told}");
        }
        assert_eq!(effects(&mut fleet, Wish::Add), [Effect::Start(2)]);
    }
}
