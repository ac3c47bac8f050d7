//! Keeps one dead letter per reason, masked before it is stored.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use crds::records::dead_letter::Reason;

use super::types::Sample;

const REASONS: usize = Reason::ALL.len();

/// The last sample of each reason. A thread with a dead letter builds a sample only if none arrived since the last
/// view; otherwise it only reads a flag.
#[derive(Debug, Default)]
pub struct Samples {
    /// By `Reason as usize`: whether a sample arrived since the last call of `take`.
    came: [AtomicBool; REASONS],
    last: Mutex<[Option<Sample>; REASONS]>,
}

impl Samples {
    /// Stores a sample, unless one of its reason arrived since the last view.
    pub fn offer(&self, reason: Reason, sample: impl FnOnce() -> Sample) {
        let Some(came) = self.came.get(reason as usize) else { return };
        if came.load(Ordering::Relaxed) || came.swap(true, Ordering::Relaxed) {
            return;
        }
        let sample = sample();
        if let Some(last) = self.last.lock().unwrap_or_else(PoisonError::into_inner).get_mut(reason as usize) {
            *last = Some(sample);
        }
    }

    /// Returns the last sample of each reason, by `Reason as usize`, and accepts new ones from now on.
    pub fn take(&self) -> [Option<Sample>; REASONS] {
        self.came.iter().for_each(|came| came.store(false, Ordering::Relaxed));
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_two_views_there_is_one_of_each_reason() {
        let samples = Samples::default();
        let mut made = 0;
        let mut offer = |reason, offset| {
            samples.offer(reason, || {
                made += 1;
                Sample { partition: 0, offset, seen: 0, detail: String::new(), value: None }
            });
        };

        for offset in 0..9 {
            offer(Reason::Malformed, offset);
            offer(Reason::Future, offset);
        }

        let offsets = || samples.take().map(|sample| sample.map(|sample| sample.offset));
        assert_eq!(offsets(), [Some(0), None, None, Some(0), None]);
        offer(Reason::Malformed, 9);
        assert_eq!(offsets(), [Some(9), None, None, Some(0), None], "the last one stays until another comes");
        assert_eq!(made, 3);
    }
}
