//! Limits how far the feed gets ahead of the audit, by bytes in each partition. Pure.

use std::collections::VecDeque;

/// Upper bound of the bytes that a record gains: the headers of a dead letter, or what enrichment adds, and the
/// overhead in a log.
const GROWTH: usize = 350;

/// What was sent and is not audited yet, by partition.
#[derive(Clone, Debug)]
pub struct FlowControl {
    limit: usize,
    partitions: Vec<InFlight>,
}

#[derive(Clone, Debug, Default)]
struct InFlight {
    /// Bytes of each event, oldest first.
    events: VecDeque<usize>,
    bytes: usize,
    audited: u64,
}

impl FlowControl {
    /// An empty window. `limit` is how many bytes of unaudited events a partition may hold in any one topic.
    #[must_use]
    pub fn new(partitions: usize, limit: usize) -> Self {
        Self { limit, partitions: vec![InFlight::default(); partitions] }
    }

    /// Records how many events of a partition have been audited so far.
    pub fn audited(&mut self, partition: usize, audited: u64) {
        let Some(in_flight) = self.partitions.get_mut(partition) else { return };
        while in_flight.audited < audited {
            in_flight.audited += 1;
            let Some(bytes) = in_flight.events.pop_front() else { continue };
            in_flight.bytes -= bytes;
        }
    }

    /// Admits an event to a partition, if there is room. An empty partition has room for any event.
    pub fn admit(&mut self, partition: usize, event_bytes: usize) -> bool {
        let Some(in_flight) = self.partitions.get(partition) else { return false };
        let has_room = in_flight.events.is_empty() || in_flight.bytes + event_bytes + GROWTH <= self.limit;
        if has_room {
            self.force(partition, event_bytes);
        }
        has_room
    }

    /// Adds an event to a partition, whether there is room or not.
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
    fn each_partition_has_room_for_its_own_events_until_audited() {
        let mut window = FlowControl::new(2, 1000);
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
        let mut window = FlowControl::new(1, 1000);
        assert!(window.admit(0, 5000));
        assert!(!window.admit(0, 1));
        window.audited(0, 1);
        assert!(window.admit(0, 5000));
    }

    #[test]
    fn events_of_others_are_audited_too() {
        let mut window = FlowControl::new(1, 1000);
        window.audited(0, 7);
        assert!(window.admit(0, 650));
        assert!(!window.admit(0, 1));
        window.audited(0, 8);
        assert!(window.admit(0, 1));
    }
}
