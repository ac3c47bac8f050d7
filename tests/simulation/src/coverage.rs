//! Records what happened in histories: a simulation without faults proves nothing.

macro_rules! features {
    ($($(#[doc = $doc:literal])* $name:ident = $least:literal,)*) => {
        /// Something that may happen in a history.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Feature { $($(#[doc = $doc])* $name,)* }

        impl Feature {
            /// Each feature, and the minimum number of 10,000 histories in which it must happen.
            pub const ALL: &[(Self, u64)] = &[$((Self::$name, $least),)*];
        }
    };
}

features! {
    Abort = 3000,
    UnknownIngest = 4000,
    FencedIngest = 300,
    CrashIngest = 2000,
    CrashIngestInCommit = 200,
    RebalanceIngest = 6000,
    DeadWriterFenced = 100,
    OffsetsLostIngest = 600,
    SourceLost = 600,
    Growth = 1000,
    ConfigChange = 2000,
    BothRevisionsAtWork = 1000,
    Late = 5000,
    Unmerged = 5000,
    DeadLetter = 5000,
    Idle = 6000,
    IdleLift = 6000,
    AllIdle = 6000,
    Wake = 2000,
    LongIdle = 700,
    Standby = 4000,
    Takeover = 2000,
    EmitterCrash = 1000,
    EmitterCrashInResults = 500,
    EmitterCrashInState = 90,
    EmitterCrashBeforeCommit = 200,
    EmitterUnknown = 2000,
    FencedEmitter = 90,
    OffsetsLostAggregate = 1000,
    ColdStart = 3000,
    RestoreBehindOpenTransaction = 500,
    RestoreEndsInTransaction = 80,
    Snapshot = 6000,
    Compaction = 4000,
    Trim = 5000,
    Final = 6000,
    Revision = 2000,
    Evicted = 3000,
    Truncated = 3000,
    Displaced = 3000,
    Partial = 1000,
    UniqueUsers = 4000,
    AlertAbove = 3000,
    AlertDeviation = 900,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Coverage(u64);

impl Coverage {
    pub fn note(&mut self, feature: Feature) {
        self.0 |= 1 << feature as u64;
    }

    pub fn has(self, feature: Feature) -> bool {
        self.0 & (1 << feature as u64) != 0
    }
}

/// The number of histories that had each feature.
#[derive(Clone, Debug)]
pub struct Counts(Vec<u64>);

impl Default for Counts {
    fn default() -> Self {
        Self(vec![0; Feature::ALL.len()])
    }
}

impl Counts {
    pub fn add(&mut self, coverage: Coverage) {
        for (count, (feature, _)) in self.0.iter_mut().zip(Feature::ALL) {
            *count += u64::from(coverage.has(*feature));
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(count, other)| *count += other);
    }

    /// The features that were too rare in this number of histories, and the number of each.
    pub fn report(&self, histories: u64) -> (Vec<String>, String) {
        let mut seldom = Vec::new();
        let mut lines = String::new();
        for (count, (feature, least)) in self.0.iter().zip(Feature::ALL) {
            lines.push_str(&format!("{feature:?} {count}, "));
            if *count < least * histories / 10_000 {
                seldom.push(format!("{feature:?} in {count} of {histories} histories"));
            }
        }
        (seldom, lines)
    }
}
