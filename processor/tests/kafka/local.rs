//! `processor local`: a whole pipeline on this machine, on the embedded broker and on a real Kafka.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod terminal;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::Duration,
};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::Value;
use terminal::Terminal;
use testkit::{
    http,
    kafka::Isolation,
    process::{Folder, Process, Program},
    wait_for,
};

const BOUND: Duration = Duration::from_secs(90);

const HEAD: &str = "apiVersion: loginpipeline.dev/v1alpha1\nkind: LoginPipeline\nmetadata: {name: logins}\n";
const KAFKA: &str = "kafka: {external: {bootstrapServers: 'nowhere.invalid:9092'}}";

struct Manifest {
    folder: Folder,
    file: PathBuf,
}

impl Manifest {
    fn new(spec: &str) -> Self {
        let folder = Folder::new("local").unwrap();
        let file = folder.path().join("pipeline.yaml");
        fs::write(&file, format!("{HEAD}spec: {{{spec}}}\n")).unwrap();
        Self { folder, file }
    }

    fn run(&self, options: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_processor")).arg("local").arg(&self.file).args(options).output().unwrap()
    }

    /// Runs to a clean end, and returns the summary.
    fn run_clean(&self, options: &[&str]) -> Value {
        let output = self.run(options);
        assert_eq!(output.status.code(), Some(0), "{}\n{}", text(&output.stdout), text(&output.stderr));
        let summary = summary(&output.stdout);
        let faults =
            ["lost", "duplicated", "out_of_order", "misrouted", "altered", "unexpected", "aggregate_mismatches"];
        for fault in faults {
            assert_eq!(summary[fault], 0, "{fault}: {summary:#}");
        }
        let count = |field: &str| summary[field].as_u64().unwrap();
        assert_eq!(count("produced"), count("processed") + count("dead_letters"), "{summary:#}");
        let reasons = summary["dead_letters_by_reason"].as_object().unwrap().values();
        assert_eq!(count("dead_letters"), reasons.map(|count| count.as_u64().unwrap()).sum::<u64>(), "{summary:#}");
        assert!(count("events_per_second") > 0, "{summary:#}");
        assert!(count("aggregates_checked") > 0, "{summary:#}");
        assert_eq!(summary["insights"]["events"], summary["processed"], "{summary:#}");
        summary
    }

    fn start(&self, options: &[&str]) -> Process {
        Program::new("processor", env!("CARGO_BIN_EXE_processor"))
            .arg("local")
            .arg(&self.file)
            .args(options)
            .spawn(&self.folder)
            .unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The last line of the output.
fn summary(stdout: &[u8]) -> Value {
    let stdout = text(stdout);
    let last = stdout.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {stdout:?}"))
}

#[test]
fn the_embedded_broker_ends_clean() {
    let summary = Manifest::new(KAFKA).run_clean(&["--events", "20000", "--exit"]);
    assert_eq!(summary["produced"], 20_000);
    assert_eq!(summary["broker"], "embedded");
    assert_eq!(summary["replicas"], 2);
    assert!(summary["dead_letters"].as_u64().unwrap() > 300, "{summary:#}");
    assert!(summary["late"].as_u64().unwrap() > 100, "{summary:#}");
}

#[test]
fn a_run_tells_who_logged_in_from_where_on_what() {
    let alert = "alerts: [{name: any-login, window: 1m, above: 0}]";
    let summary = Manifest::new(&format!("{KAFKA}, {alert}")).run_clean(&["--events", "20000", "--exit"]);
    let insights = &summary["insights"];
    let users = insights["unique_users"].as_u64().unwrap();
    assert!((1000..20_000).contains(&users), "{insights:#}");
    for (dimension, most) in [("device_type", "iOS"), ("locale", "CA"), ("app_version", "2.3.0")] {
        assert_eq!(insights["dimensions"][dimension]["most"][0]["value"], most, "{insights:#}");
    }
    // Ten minutes of events; the last windows stay open.
    assert!(insights["windows_closed"].as_u64().unwrap() >= 8, "{insights:#}");
    assert!(insights["alerts"]["any-login"].as_u64().unwrap() >= 10, "{insights:#}");
}

#[test]
fn the_broker_may_keep_far_less_than_is_sent() {
    let manifest = Manifest::new(&format!("{KAFKA}, source: {{partitions: 1}}"));
    let odd = ["--odd", "0.5", "--malformed", "0.2", "--late", "0", "--incomplete", "0.2"];
    let summary = manifest.run_clean(&[&["--events", "60000", "--exit", "--replicas", "3"], &odd[..]].concat());
    assert_eq!(summary["produced"], 60_000);
    assert_eq!(summary["replicas"], 3);
}

#[test]
fn without_exit_it_runs_until_it_is_told_to_stop() {
    let manifest = Manifest::new(KAFKA);
    let mut process = manifest.start(&["--rate", "500", "--replicas", "1"]);
    wait_for("some events", BOUND, || process.log().contains("events sent").then_some(()));
    process.signal("INT");
    assert_eq!(process.wait(BOUND).unwrap(), 0, "{}", process.log());
    let summary = summary(process.log().as_bytes());
    assert!(summary["produced"].as_u64().unwrap() > 0, "{summary:#}");
    let rate = summary["events_per_second"].as_u64().unwrap();
    assert!((300..=600).contains(&rate), "{summary:#}");
}

#[test]
fn a_record_that_somebody_doubles_is_found_while_it_runs() {
    let manifest = Manifest::new(&format!("{KAFKA}, source: {{partitions: 1}}"));
    let mut process = manifest.start(&["--events", "1000"]);
    let sent = "1000 of 1000 events sent, 1000 audited";
    wait_for("all events to be audited", BOUND, || process.log().contains(sent).then_some(()));
    let log = process.log();
    let address = log.split("broker at ").nth(1).unwrap().split(',').next().unwrap();
    double_first(address, "processed-user-login");
    process.signal("INT");
    assert_eq!(process.wait(BOUND).unwrap(), 1, "{}", process.log());
    let summary = summary(process.log().as_bytes());
    assert_eq!(summary["duplicated"], 1, "{summary:#}");
    assert_eq!(summary["lost"], 0, "{summary:#}");
}

#[test]
fn an_aggregate_that_somebody_invents_is_found() {
    let manifest = Manifest::new(&format!("{KAFKA}, source: {{partitions: 1}}"));
    let mut process = manifest.start(&["--events", "1000"]);
    let sent = "1000 of 1000 events sent, 1000 audited";
    wait_for("all events to be audited", BOUND, || process.log().contains(sent).then_some(()));
    let log = process.log();
    let address = log.split("broker at ").nth(1).unwrap().split(',').next().unwrap();
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", address).create().unwrap();

    let key = "1m/2001-09-09T01:46:00Z/_all";
    let value = r#"{"v":1,"window":"1m","start":"2001-09-09T01:46:00Z","end":"2001-09-09T01:47:00Z","dimension":"_all","count":7,"late":0,"unmerged":0,"final":true,"revision":0}"#;
    producer.send(BaseRecord::to("login-aggregates").key(key).payload(value)).map_err(|(error, _)| error).unwrap();
    producer.flush(BOUND).unwrap();
    process.signal("INT");

    assert_eq!(process.wait(BOUND).unwrap(), 1, "{}", process.log());
    let summary = summary(process.log().as_bytes());
    assert_eq!(summary["aggregate_mismatches"], 1, "{summary:#}");
    assert_eq!(summary["lost"], 0, "{summary:#}");
    assert!(process.log().contains(&format!("mismatch: aggregate {key}: count should be nothing, is 7")));
}

/// Writes the first record of a topic again.
fn double_first(servers: &str, topic: &str) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set("group.id", "double");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut first = TopicPartitionList::new();
    first.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&first).unwrap();
    let record = wait_for("a record", BOUND, || consumer.poll(Duration::from_millis(100))?.ok().map(|it| it.detach()));
    let producer: BaseProducer = config.create().unwrap();
    producer
        .send(BaseRecord::to(topic).partition(0).key(record.key().unwrap()).payload(record.payload().unwrap()))
        .map_err(|(error, _)| error)
        .unwrap();
    producer.flush(BOUND).unwrap();
}

/// A manifest with unique topics.
fn on_topics_of_its_own(name: &str) -> Manifest {
    let topics = format!("source: {{topic: {name}-in, partitions: 4}}, output: {{topic: {name}-out}}");
    let results =
        ["aggregates", "insights", "alerts"].map(|role| format!("{role}: {{topic: {name}-{role}}}")).join(", ");
    let results = format!("deadLetters: {{topic: {name}-dead}}, results: {{{results}}}");
    let manifest = Manifest::new(&format!("{KAFKA}, {topics}, {results}"));
    // The topic of the deltas contains the pipeline's name.
    let text_of = fs::read_to_string(&manifest.file).unwrap().replace("name: logins", &format!("name: {name}"));
    fs::write(&manifest.file, text_of).unwrap();
    manifest
}

#[test]
fn a_real_kafka_ends_clean_and_again_on_fresh_topics() {
    let kafka = testkit::kafka::shared();
    let name = testkit::unique("local");
    let manifest = on_topics_of_its_own(&name);
    let options = ["--bootstrap", kafka.bootstrap(), "--events", "20000", "--exit"];

    let summary = manifest.run_clean(&options);
    assert_eq!(summary["broker"], "kafka");
    assert_eq!(summary["produced"], 20_000);
    let written = kafka.read_to_end(&format!("{name}-out"), Isolation::ReadCommitted).unwrap().len();
    assert_eq!(summary["processed"], written, "{summary:#}");

    let again = manifest.run(&options);
    let problem = text(&again.stderr);
    assert_eq!(again.status.code(), Some(2), "{problem}");
    assert!(problem.contains("holds records already") && problem.contains("--fresh-topics"), "{problem}");

    let summary = manifest.run_clean(&[&options[..], &["--fresh-topics"]].concat());
    assert_eq!(summary["broker"], "kafka");
    assert_eq!(summary["produced"], 20_000);
    let untouched = kafka.read_to_end(&format!("{name}-out"), Isolation::ReadCommitted).unwrap().len();
    assert_eq!(untouched, written);
}

/// The content of a run's page, once it is as wanted.
fn page(log: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let address = log.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let last = std::cell::RefCell::new(Value::Null);
    let ask = || {
        let view: Value = serde_json::from_str(&http::get(&address, "/view")?.1).ok()?;
        let is_there = wanted(&view);
        last.replace(view.clone());
        is_there.then_some(view)
    };
    for _ in 0..900 {
        if let Some(view) = ask() {
            return view;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("the page does not show what is wanted: {:#}", last.borrow());
}

fn states(view: &Value) -> Vec<(&str, &str)> {
    let replicas = view["replicas"].as_array().unwrap().iter();
    replicas.map(|it| (it["name"].as_str().unwrap(), it["state"].as_str().unwrap())).collect()
}

#[test]
fn keys_scale_kill_and_pause_replicas_and_nothing_is_lost() {
    let kafka = testkit::kafka::shared();
    let manifest = on_topics_of_its_own(&testkit::unique("keys"));
    let options = format!("--bootstrap {} --rate 1000 --since 30s --listen 127.0.0.1:0", kafka.bootstrap());
    let mut terminal = Terminal::start(manifest, &options);
    terminal.sees("events sent");
    let two = [("local-0", "running"), ("local-1", "running")];
    let before = page(&terminal.shown(), |view| states(view) == two && view["totals"]["processed"] != 0);

    terminal.press("+");
    terminal.sees("local-2 starts: replicas are 3 now");
    let three = [two[0], two[1], ("local-2", "running")];
    page(&terminal.shown(), |view| states(view) == three);

    terminal.press("k");
    terminal.sees("local-0 is killed (SIGKILL)");
    terminal.sees("local-0 is gone; it is started again in 3 s");
    page(&terminal.shown(), |view| states(view)[0] == ("local-0", "gone"));
    terminal.sees("local-0 is started again");
    page(&terminal.shown(), |view| states(view) == three);

    terminal.press("p");
    terminal.sees("local-1 is paused (SIGSTOP)");
    page(&terminal.shown(), |view| states(view)[1] == ("local-1", "paused"));
    // Until the others have taken its partitions.
    thread::sleep(Duration::from_secs(8));
    terminal.press("p");
    terminal.sees("local-1 goes on (SIGCONT)");
    page(&terminal.shown(), |view| states(view) == three);

    terminal.press("-");
    terminal.sees("local-2 has ended");
    terminal.press("bbbb?xyz");
    terminal.sees("sent an event from tomorrow");
    terminal.sees("q  end, with the summary");
    let after = page(&terminal.shown(), |view| states(view) == two && view["lag"] == 0);
    let processed = |view: &Value| view["totals"]["processed"].as_u64().unwrap();
    assert!(processed(&after) > processed(&before), "of those that are gone too");

    // One more replica is paused: the end resumes it.
    terminal.press("p");
    terminal.sees("local-0 is paused");
    terminal.press("q");
    let (summary, shown) = terminal.end();
    assert!(shown.starts_with('0'), "{shown}");
    assert!(shown.contains(" icanon") && shown.contains(" echo "), "the terminal is as before: {shown}");
    assert_eq!(summary["lost"], 0, "{summary:#}");
    assert_eq!(summary["replicas"], 2, "{summary:#}");
    assert!(summary["produced"].as_u64().unwrap() > 30_000, "{summary:#}");
}

#[test]
fn the_embedded_broker_refuses_faults_but_scales() {
    let mut terminal = Terminal::start(Manifest::new(KAFKA), "--rate 500 --listen 127.0.0.1:0");
    terminal.sees("events sent");
    terminal.press("kp+");
    terminal.sees("no real transactions");
    terminal.sees("local-2 starts");
    page(&terminal.shown(), |view| states(view).len() == 3);
    // Ctrl-C, which the terminal turns into a signal, for this process alone.
    terminal.press("\x03");
    terminal.sees("icanon");
    let shown = terminal.shown();
    assert!(shown.contains(r#""lost":0"#) && shown.contains("clean: "), "{shown}");
}

/// The process ids of the replicas with their job config in a folder.
fn replicas_of(folder: &Path) -> Vec<u32> {
    let job = folder.join("job.json");
    let processes = fs::read_dir("/proc").unwrap().filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok());
    let is_one = |id: &u32| {
        let command = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        command.split(|byte| *byte == 0).any(|argument| argument == job.as_os_str().as_encoded_bytes())
    };
    processes.filter(is_one).collect()
}

fn signal(process: u32, signal: &str) {
    assert!(Command::new("sh").args(["-c", &format!("kill -s {signal} {process}")]).status().unwrap().success());
}

fn folder_of(log: &str) -> PathBuf {
    let job = log.split("--config ").nth(1).unwrap().split_whitespace().next().unwrap();
    Path::new(job).parent().unwrap().to_owned()
}

#[test]
fn no_replica_outlives_a_killed_run_even_if_it_is_frozen() {
    let mut process = Manifest::new(KAFKA).start(&["--rate", "500", "--listen", "127.0.0.1:0"]);
    wait_for("some events", BOUND, || process.log().contains("events sent").then_some(()));
    let folder = folder_of(&process.log());
    let replicas = replicas_of(&folder);
    assert_eq!(replicas.len(), 2);

    // Other commands accept its config, except for the audit, which needs more than this broker keeps.
    let ask = |command: &[&str]| {
        let program = env!("CARGO_BIN_EXE_processor");
        Command::new(program).args(command).arg("--config").arg(folder.join("job.json")).output().unwrap()
    };
    for subject in ["insights", "alerts", "deltas", "state"] {
        assert_eq!(ask(&["inspect", subject]).status.code(), Some(0), "{subject}");
    }
    let offsets = ask(&["inspect", "offsets"]);
    assert_eq!(offsets.status.code(), Some(2));
    assert!(text(&offsets.stderr).contains("deltas shows which source offsets"), "{}", text(&offsets.stderr));
    let audit = ask(&["audit"]);
    assert_eq!(audit.status.code(), Some(2));
    assert!(text(&audit.stderr).contains("the run audits itself"), "{}", text(&audit.stderr));

    signal(replicas[0], "STOP");
    process.kill();
    wait_for("the replicas to end", BOUND, || replicas_of(&folder).is_empty().then_some(()));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_killed_replica_ends_a_run_on_the_embedded_broker() {
    let mut process = Manifest::new(KAFKA).start(&["--rate", "500", "--listen", "127.0.0.1:0"]);
    wait_for("some events", BOUND, || process.log().contains("events sent").then_some(()));
    let folder = folder_of(&process.log());
    let replicas = replicas_of(&folder);
    signal(replicas[0], "KILL");
    assert_eq!(process.wait(BOUND).unwrap(), 2, "{}", process.log());
    assert!(process.log().contains("ended by itself, signal: 9 (SIGKILL)"), "{}", process.log());
    assert_eq!(replicas_of(&folder), Vec::<u32>::new());
    assert!(!folder.exists());
}

#[test]
fn what_others_send_is_audited_but_not_waited_for() {
    let kafka = testkit::kafka::shared();
    let name = testkit::unique("others");
    let manifest = on_topics_of_its_own(&name);
    let options = ["--bootstrap", kafka.bootstrap(), "--events", "6000", "--rate", "1000", "--exit"];
    let mut process = manifest.start(&[&options[..], &["--listen", "127.0.0.1:0"]].concat());
    wait_for("some events", BOUND, || process.log().contains("events sent").then_some(()));

    let others = ["generate", "--events", "1000000", "--rate", "3000", "--seed", "7", "--topic"];
    let mut others = Program::new("others", env!("CARGO_BIN_EXE_processor"))
        .args(others)
        .args([&format!("{name}-in"), "--bootstrap", kafka.bootstrap()])
        .spawn(&manifest.folder)
        .unwrap();

    assert_eq!(process.wait(BOUND).unwrap(), 0, "{}", process.log());
    others.check_running().unwrap();
    let summary = summary(process.log().as_bytes());
    let count = |field: &str| summary[field].as_u64().unwrap();
    assert_eq!(count("produced"), 6000, "{summary:#}");
    assert_eq!(count("lost"), 0, "{summary:#}");
    assert_eq!(count("aggregate_mismatches"), 0, "{summary:#}");
    assert!(count("processed") + count("dead_letters") > 8000, "{summary:#}");
}

#[test]
fn within_seconds_there_is_something_to_see_everywhere() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/demo.yaml");
    let folder = Folder::new("demo").unwrap();
    let mut process = Program::new("demo", env!("CARGO_BIN_EXE_processor"))
        .args(["local", "--since", "10m", "--rate", "500", "--events", "320000", "--exit", "--listen", "127.0.0.1:0"])
        .arg(demo)
        .spawn(&folder)
        .unwrap();

    wait_for("the page", BOUND, || process.log().contains("http://").then_some(()));
    let some = |view: &Value, field: &str| view[field].as_array().is_some_and(|found| !found.is_empty());
    let view = page(&process.log(), |view| {
        let closed = |window: &Value| window["closed"] == true && window["values"]["locale"].is_array();
        let alerts: Vec<&str> =
            view["alerts"].as_array().into_iter().flatten().filter_map(|it| it["name"].as_str()).collect();
        let reasons = view["dead_letters"].as_array().into_iter().flatten();
        some(view, "partitions")
            && some(view, "replicas")
            && view["windows"].as_array().into_iter().flatten().any(closed)
            && ["busy-state", "old-version"].iter().all(|alert| alerts.contains(alert))
            && reasons.filter(|it| it["sample"]["value"].is_string()).count() >= 4
            && minutes(view) >= 8
    });

    assert_eq!(view["scope"], "pipeline");
    assert_eq!(process.wait(BOUND).unwrap(), 0, "{}", process.log());
    // The events of ten minutes, in sequence, and those of the seconds since then.
    let summary = summary(process.log().as_bytes());
    assert_eq!(summary["produced"], 320_000, "{summary:#}");
    assert_eq!(summary["lost"], 0, "{summary:#}");
    assert!(minutes(&view) <= 13, "{view:#}");
}

/// The number of displayed one-minute windows that have some hundred events a second, and not only late ones.
fn minutes(view: &Value) -> usize {
    let is_full = |window: &&Value| window["window"] == "1m" && window["count"].as_u64() > Some(10_000);
    view["windows"].as_array().unwrap().iter().filter(is_full).count()
}
