//! The hot path of stage 1 allocates nothing for an event, once its tables have their size. Counted by the allocator.
#![allow(unsafe_code, clippy::unwrap_used, reason = "an allocator, and a test may panic")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use crds::{job::JobConfig, pipeline::LoginPipelineSpec, topics::PipelineId};
use processor::{
    generate::{Event, Events, Options},
    ingest::machine::{Fate, Ingest, Record, Start},
};

/// Counts allocations.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is the system allocator's doing; only a number is added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[test]
fn an_event_costs_no_allocation() {
    let spec: LoginPipelineSpec =
        serde_json::from_str(r#"{"kafka":{"external":{"bootstrapServers":"localhost:9092"}}}"#).unwrap();
    let id = PipelineId { namespace: "ns".to_owned(), name: "logins".to_owned() };
    let job = JobConfig::new(id, &spec, 1, "localhost:9092".to_owned());
    let mut machine = Ingest::new(&job, "a".to_owned(), 1, 1 << 20);
    machine.own(0, Start::default());
    // All within one window: the first event of another allocates its table.
    let options = Options { start: 1_720_576_800, per_second: 0, ..Options::default() };
    let events: Vec<Event> = Events::new(options).take(20_000).collect();
    let mut arena = Vec::with_capacity(16 << 20);
    let mut offset = 0;
    let mut process = |arena: &mut Vec<u8>| {
        for event in &events {
            let record = Record {
                partition: 0,
                offset,
                timestamp_ms: 1_720_576_800_000,
                fixed_bytes: 0,
                value: event.payload(),
            };
            assert!(matches!(machine.record(&record, arena), Fate::Output(_)));
            offset += 1;
        }
        arena.clear();
    };
    process(&mut arena);
    let before = ALLOCATIONS.load(Relaxed);
    process(&mut arena);
    assert_eq!(ALLOCATIONS.load(Relaxed) - before, 0, "allocations for {} events", events.len());
}
