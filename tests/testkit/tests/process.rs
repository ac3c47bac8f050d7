//! What a test starts ends with it, however the test process ends, and leaves no folder behind.

#![expect(clippy::unwrap_used, reason = "the helpers of the tests fail as the tests do")]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use testkit::kafka::{Isolation, shared};
use testkit::kubernetes::ApiServer;
use testkit::process::{Folder, Process, Program};
use testkit::{Error, kafka, unique, wait_for};

const SOON: Duration = Duration::from_secs(20);
/// For a cluster to start on a busy machine.
const START: Duration = Duration::from_secs(120);

fn sh(script: &str, folder: &Folder) -> Process {
    Program::new("script", "sh").args(["-c", script]).env("GREETING", "hello").spawn(folder).unwrap()
}

/// A program that runs until it is stopped, once it has said that it is ready.
fn ready(script: &str, folder: &Folder) -> Process {
    let process = sh(script, folder);
    wait_for("the script's first words", SOON, || process.log().contains("ready").then_some(()));
    process
}

fn runs(id: u32) -> bool {
    fs::exists(format!("/proc/{id}")).unwrap()
}

#[test]
fn output_and_exit_status_are_those_of_the_program() {
    let folder = Folder::new("test").unwrap();
    let mut process = sh("echo \"$GREETING\"; echo 'to you' >&2; exit 3", &folder);
    assert_eq!(process.wait(SOON).unwrap(), 3);
    assert_eq!(process.log(), "hello\nto you\n");
    assert!(matches!(process.check_running(), Err(Error::Ended { status: 3, log, .. }) if log.contains("to you")));
    let mut missing = Program::new("missing", "/no/such/program").spawn(&folder).unwrap();
    assert_eq!(missing.wait(SOON).unwrap(), 127);
    assert!(missing.log().contains("/no/such/program"));
}

#[test]
fn kill_reaches_the_program_itself() {
    let folder = Folder::new("test").unwrap();
    let mut process = Program::new("sleep", "sleep").arg("1000").spawn(&folder).unwrap();
    let name = format!("/proc/{}/comm", process.id());
    wait_for("the program", SOON, || (fs::read_to_string(&name).unwrap() == "sleep\n").then_some(()));
    assert_eq!(process.status(), None);
    process.kill();
    assert!(!runs(process.id()));
    assert_eq!(process.status(), Some(128 + 9));
}

#[test]
fn terminate_lets_the_program_exit_by_itself_within_the_bound() {
    let folder = Folder::new("test").unwrap();
    let mut orderly = ready("trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.1; done", &folder);
    assert_eq!(orderly.terminate(SOON).unwrap(), 5);
    assert!(orderly.log().ends_with("bye\n"));
    let deaf = Folder::new("test").unwrap();
    let mut deaf = ready("trap '' TERM; echo ready; while :; do sleep 0.1; done", &deaf);
    let late = deaf.terminate(Duration::from_millis(200)).unwrap_err();
    assert!(matches!(&late, Error::Timeout { .. }) && late.to_string().contains("script"), "{late}");
    deaf.kill();
    assert!(!runs(deaf.id()));
}

#[test]
fn a_stopped_program_goes_on_or_dies() {
    let folder = Folder::new("test").unwrap();
    let mut process = ready("echo ready; while :; do sleep 0.1; done", &folder);
    let state = |id| fs::read_to_string(format!("/proc/{id}/stat")).unwrap().split(' ').nth(2).unwrap().to_owned();
    process.signal("STOP");
    wait_for("the stop", SOON, || (state(process.id()) == "T").then_some(()));
    process.signal("CONT");
    wait_for("the resumption", SOON, || (state(process.id()) != "T").then_some(()));
    process.signal("STOP");
    process.kill();
    assert!(!runs(process.id()));
}

#[test]
fn the_signals_of_a_terminal_reach_the_test_alone() {
    let folder = Folder::new("test").unwrap();
    let process = ready("echo ready; while :; do sleep 0.1; done", &folder);
    let group = |id: &str| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        stat.rsplit(") ").next().unwrap().split(' ').nth(2).unwrap().to_owned()
    };
    assert_ne!(group(&process.id().to_string()), group("self"));
}

#[test]
fn the_folder_goes_after_the_last_program_in_it() {
    let folder = Folder::new("test").unwrap();
    let path = folder.path().to_owned();
    let process = ready("echo ready; while :; do sleep 0.1; done", &folder);
    fs::write(path.join("data"), "").unwrap();
    drop(folder);
    assert!(path.join("data").exists() && runs(process.id()));
    let id = process.id();
    drop(process);
    assert!(!path.exists() && !runs(id));
}

#[test]
fn waiting_in_vain_names_what_was_waited_for() {
    let outcome = catch_unwind(|| wait_for("the impossible", Duration::from_millis(50), || None::<()>));
    let message = outcome.unwrap_err();
    assert!(message.downcast_ref::<String>().unwrap().contains("the impossible did not happen within 50ms"));
}

/// Runs [`helper`] in a process of its own, which keeps its temporary folders in a folder of ours.
fn helper(way: &str, variables: &[(&str, &str)]) -> (Process, Folder, PathBuf) {
    let folder = Folder::new("test").unwrap();
    let temporary = folder.path().join("temporary");
    fs::create_dir(&temporary).unwrap();
    let program = Program::new("helper", std::env::current_exe().unwrap())
        .args(["--exact", "the_helper", "--ignored", "--nocapture"])
        .env("TMPDIR", &temporary)
        .env("HELPER_WAY", way);
    let program = variables.iter().fold(program, |program, (name, value)| program.env(name, value));
    (program.spawn(&folder).unwrap(), folder, temporary)
}

/// The processes whose command line names this folder.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let command_line = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("cmdline")).ok();
    let all = fs::read_dir("/proc").unwrap().filter_map(Result::ok).filter_map(command_line);
    all.filter(|line| line.contains(folder)).collect()
}

fn nothing_is_left(temporary: &Path) {
    wait_for("the end of all that the helper had", SOON, || {
        let left = fs::read_dir(temporary).unwrap().count();
        (left == 0 && processes_of(temporary).is_empty()).then_some(())
    });
}

#[test]
fn nothing_outlives_a_test_process_that_is_killed() {
    let (mut process, _folder, temporary) = helper("stay", &[]);
    wait_for("the helper's services", START, || {
        process.check_running().unwrap();
        process.log().contains("all is up").then_some(())
    });
    let running = processes_of(&temporary);
    for service in ["kafka.Kafka", "kube-apiserver", "etcd", "tail"] {
        assert!(running.iter().any(|line| line.contains(service)), "{service} is missing in {running:?}");
    }
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 3);
    process.kill();
    nothing_is_left(&temporary);
}

#[test]
fn nothing_outlives_a_test_process_that_panics_or_leaks_statics() {
    for (way, status) in [("return", 0), ("panic", 101)] {
        let (mut process, _folder, temporary) = helper(way, &[]);
        assert_eq!(process.wait(START).unwrap(), status, "{}", process.log());
        assert_eq!(process.log().contains("the end of the log of tail"), way == "panic", "{}", process.log());
        nothing_is_left(&temporary);
    }
}

#[test]
fn the_cluster_that_the_user_names_is_used_and_never_stopped() {
    let (mut process, _folder, temporary) = helper("foreign", &[("KAFKA_BOOTSTRAP", shared().bootstrap())]);
    assert_eq!(process.wait(START).unwrap(), 0, "{}", process.log());
    nothing_is_left(&temporary);
}

#[test]
#[ignore = "run by the tests above, in a process of its own"]
fn the_helper() {
    let way = std::env::var("HELPER_WAY").unwrap_or_default();
    let folder = Folder::new("helper").unwrap();
    // A program whose command line names the folder.
    let marker = folder.path().join("marker");
    fs::write(&marker, "").unwrap();
    let tail = Program::new("tail", "tail").arg("-f").arg(marker).spawn(&folder).unwrap();
    let cluster = shared();

    match way.as_str() {
        "foreign" => {
            let topic = unique("foreign");
            cluster.create_topic(&topic, 1, &[]).unwrap();
            cluster.produce(&topic, [kafka::NewRecord::default()]).unwrap();
            assert_eq!(cluster.read_to_end(&topic, Isolation::ReadCommitted).unwrap().len(), 1);
            let refused = cluster.kill_broker(0).unwrap_err().to_string();
            assert!(refused.contains("KAFKA_BOOTSTRAP"), "{refused}");
            assert!(matches!(cluster.restart_broker(0), Err(Error::Foreign { .. })));
        }
        "stay" => {
            let _server = ApiServer::start().unwrap();
            println!("all is up");
            loop {
                thread::park();
            }
        }
        "panic" => panic!("as asked, while process {} runs", tail.id()),
        _ => {}
    }
}
