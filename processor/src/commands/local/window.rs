//! How far the feed may be ahead of the audit: in each partition by so many bytes. Pure.

use std::collections::VecDeque;

/// What a record can gain on its way: the headers of a dead letter, or what enrichment adds; and what it takes in a log.
const GROWTH: usize = 350;

/// What was sent and is not audited yet, by partition.
#[derive(Clone, Debug)]
pub struct Window {
    limit: usize,
    partitions: Vec<InFlight>,
}

#[derive(Clone, Debug, Default)]
struct InFlight {
    /// Bytes of each event, the oldest first.
    events: VecDeque<usize>,
    bytes: usize,
    audited: u64,
}

impl Window {
    /// An empty window. `limit` is how many bytes of unaudited events a partition may hold in any one topic.
    #[must_use]
    pub fn new(partitions: usize, limit: usize) -> Self {
        Self { limit, partitions: vec![InFlight::default(); partitions] }
    }

    /// Takes notice of how many events of a partition have been audited so far.
    pub fn audited(&mut self, partition: usize, audited: u64) {
        let Some(in_flight) = self.partitions.get_mut(partition) else { return };
        while in_flight.audited < audited {
            in_flight.audited += 1;
            let Some(bytes) = in_flight.events.pop_front() else { continue };
            in_flight.bytes -= bytes;
        }
    }

    /// Sends an event of so many bytes to a partition, if there is room. Where nothing is in flight there is room for any
    /// event.
    pub fn admit(&mut self, partition: usize, event_bytes: usize) -> bool {
        let Some(in_flight) = self.partitions.get(partition) else { return false };
        let has_room = in_flight.events.is_empty() || in_flight.bytes + event_bytes + GROWTH <= self.limit;
        if has_room {
            self.force(partition, event_bytes);
        }
        has_room
    }

    /// Sends an event of so many bytes to a partition, whether there is room or not.
    pub fn force(&mut self, partition: usize, event_bytes: usize) {
        if let Some(in_flight) = self.partitions.get_mut(partition) {
            in_flight.events.push_back(event_bytes + GROWTH);
            in_flight.bytes += event_bytes + GROWTH;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_room_for_its_own_events_until_they_are_audited() {
        let mut window = Window::new(2, 1000);
        assert!(window.admit(0, 150) && window.admit(0, 150));
        assert!(!window.admit(0, 0), "full");
        assert!(window.admit(1, 500), "another partition is not");
        window.audited(0, 1);
        assert!(window.admit(0, 150));
        assert!(!window.admit(0, 0));
        window.audited(0, 1);
        assert!(!window.admit(0, 0), "told twice");
        window.audited(0, 3);
        assert!(window.admit(0, 150) && window.admit(0, 150));
    }

    #[test]
    fn an_event_beyond_the_limit_goes_alone() {
        let mut window = Window::new(1, 1000);
        assert!(window.admit(0, 5000));
        assert!(!window.admit(0, 1));
        window.audited(0, 1);
        assert!(window.admit(0, 5000));
    }

    #[test]
    fn events_of_others_are_audited_too() {
        let mut window = Window::new(1, 1000);
        window.audited(0, 7);
        assert!(window.admit(0, 650));
        assert!(!window.admit(0, 1));
        window.audited(0, 8);
        assert!(window.admit(0, 1));
    }
}
