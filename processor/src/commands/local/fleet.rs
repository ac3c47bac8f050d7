//! Decides which replicas run, and which effects are needed for that. Pure: `replicas` performs the effects.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How long a killed replica stays away: about as long as Kubernetes takes to restart a container.
pub const RESTART: Duration = Duration::from_secs(3);

/// The largest number of replicas.
pub const MOST: usize = 64;

/// State of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    /// It was stopped by SIGSTOP.
    Paused,
    /// It drains, and is not restarted.
    Stopping,
    /// It has ended, and is restarted at this time.
    Gone(Instant),
}

/// What to do to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Start(usize),
    /// End it with SIGKILL.
    Kill(usize),
    /// Stop it with SIGSTOP.
    Pause(usize),
    /// Let it continue with SIGCONT.
    Resume(usize),
    /// Let it drain and end.
    Stop(usize),
}

/// What the user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// One more replica.
    Add,
    /// One replica less.
    Remove,
    /// A replica crashes.
    Kill,
    /// A replica hangs, or the hanging one continues.
    Pause,
}

/// What the end of a replica means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to end.
    Expected,
    /// It is restarted.
    Restarts,
    Failed,
}

/// The replicas, by number, with their states.
#[derive(Clone, Debug)]
pub struct Fleet {
    members: BTreeMap<usize, State>,
    /// Whether faults may be caused: they are harmless only on a Kafka, which has real transactions.
    takes_faults: bool,
    /// The replica that the last fault hit; the next fault hits the one after it.
    hit: Option<usize>,
}

/// Name of a replica.
#[must_use]
pub fn name(number: usize) -> String {
    format!("local-{number}")
}

impl Fleet {
    /// A fleet of `count` running replicas.
    #[must_use]
    pub fn new(count: usize, takes_faults: bool) -> Self {
        Self { members: (0..count).map(|number| (number, State::Running)).collect(), takes_faults, hit: None }
    }

    pub fn members(&self) -> impl Iterator<Item = (usize, State)> {
        self.members.iter().map(|(number, state)| (*number, *state))
    }

    /// Number of replicas, without those that are stopping.
    #[must_use]
    pub fn count(&self) -> usize {
        self.members.values().filter(|state| **state != State::Stopping).count()
    }

    /// Whether all replicas run; otherwise outcomes may take longer.
    #[must_use]
    pub fn all_run(&self) -> bool {
        self.members.values().all(|state| *state == State::Running)
    }

    /// Decides what to do for a request, and what to tell the user.
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

    /// The next running replica after the one that the last fault hit.
    fn next_victim(&mut self) -> Option<usize> {
        let running = |(number, state): (&usize, &State)| (*state == State::Running).then_some(*number);
        let after = self.hit.map_or(0, |hit| hit + 1);
        let next = self.members.range(after..).find_map(running);
        self.hit = next.or_else(|| self.members.iter().find_map(running));
        self.hit
    }

    /// Records that a replica has ended, by a signal or by itself.
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

    /// Restarts the replicas that were away for long enough.
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

    /// Resumes paused replicas, before the run ends.
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
        assert_eq!(effects, [], "the last one stays");
        assert_eq!(fleet.count(), 1, "the last one stays");
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
