//! The cost of the demo: the processor time of `processor local` and its replicas at 500 events a second, as the kernel
//! counts it. Other load on the machine slows it down but hardly raises this cost, so the test does not measure elapsed
//! time.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use testkit::{
    process::{Folder, Program},
    wait_for,
};

const BOUND: Duration = Duration::from_secs(90);

/// The time of the measurement.
const SPAN: Duration = Duration::from_secs(15);

/// The maximum share of a core here. A release build takes a seventh of a core, and this build somewhat more on a
/// machine with other load; a loop that spins instead of sleeping takes half a core by itself.
const MOST: f64 = 0.4;

/// Ticks per second in the kernel's accounting: a constant of Linux's interface to programs.
const TICKS: f64 = 100.0;

/// The processor time of a process and all its descendants, in seconds.
fn cost(id: u32) -> f64 {
    let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else { return 0.0 };
    // The program's name may contain anything; numbers follow it.
    let numbers: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let own = numbers[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / TICKS;
    let threads = fs::read_dir(format!("/proc/{id}/task")).unwrap();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("children")).ok());
    let children: Vec<u32> =
        children.flat_map(|ids| ids.split_whitespace().map(|id| id.parse().unwrap()).collect::<Vec<_>>()).collect();
    own + children.into_iter().map(cost).sum::<f64>()
}

#[test]
fn the_demo_takes_a_small_share_of_a_core() {
    let folder = Folder::new("cost").unwrap();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/demo.yaml");
    let mut process = Program::new("processor", env!("CARGO_BIN_EXE_processor"))
        .arg("local")
        .arg(demo)
        .args(["--rate", "500", "--listen", "127.0.0.1:0"])
        .spawn(&folder)
        .unwrap();
    wait_for("some events", BOUND, || process.log().contains("events sent").then_some(()));

    let (before, since) = (cost(process.id()), Instant::now());
    thread::sleep(SPAN);
    let share = (cost(process.id()) - before) / since.elapsed().as_secs_f64();

    process.signal("INT");
    assert_eq!(process.wait(BOUND).unwrap(), 0, "{}", process.log());
    println!("{share:.3} of a core");
    assert!(share < MOST, "{share:.3} of a core, and at most {MOST} is expected");
}
