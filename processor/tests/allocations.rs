//! The hot path of stage 1 allocates nothing per event, once its tables have their final size. The allocator counts.

use std::alloc::System;

use cap::Cap;
use crds::{job::JobConfig, pipeline::LoginPipelineSpec, topics::PipelineId};
use processor::commands::generate::{Events, GeneratedEvent, Options};
use stages::ingest::{
    machine::{Fate, Ingest, SourceRecord},
    start::Start,
};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

#[test]
fn an_event_costs_no_allocation() {
    let spec: LoginPipelineSpec =
        serde_json::from_str(r#"{"kafka":{"external":{"bootstrapServers":"localhost:9092"}}}"#).unwrap();
    let id = PipelineId { namespace: "ns".to_owned(), name: "logins".to_owned() };
    let job = JobConfig::new(id, &spec, 1, "localhost:9092".to_owned());
    let mut machine = Ingest::new(&job, "a".to_owned(), 1, 1 << 20);
    machine.own(0, Start::default());

    // All within one window: the first event of another window allocates its table.
    let options = Options { start: 1_720_576_800, per_second: 0, ..Options::default() };
    let events: Vec<GeneratedEvent> = Events::new(options).take(20_000).collect();
    let mut arena = Vec::with_capacity(16 << 20);
    let mut offset = 0;
    let mut process = |arena: &mut Vec<u8>| {
        for event in &events {
            let record = SourceRecord {
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
    let before = ALLOCATOR.total_allocated();
    process(&mut arena);
    assert_eq!(ALLOCATOR.total_allocated() - before, 0, "bytes allocated for {} events", events.len());
}
