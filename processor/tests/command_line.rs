//! The command line: its help, and its answers to common mistakes. No service is needed.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use clap::{CommandFactory, Parser};
use processor::args::Args;
use testkit::process::Folder;

fn processor(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_processor"))
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .env_remove("LOGIN_PIPELINE_CONFIG")
        .env_remove("POD_NAME")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses its arguments does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The output of a command that succeeds.
fn print(arguments: &[&str]) -> String {
    let output = processor(arguments, "");
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// The error of a command that cannot be executed: exactly one line.
fn refusal(arguments: &[&str]) -> String {
    let output = processor(arguments, "");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    assert_eq!(text(&output.stdout), "", "{arguments:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    said.trim_end().strip_prefix("processor: ").unwrap().to_owned()
}

/// The error of a command line that cannot be parsed: its first line, and all of it.
fn misunderstood(arguments: &[&str]) -> (String, String) {
    let output = processor(arguments, "");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    assert_eq!(text(&output.stdout), "", "{arguments:?}: {said}");
    (said.lines().next().unwrap().to_owned(), said)
}

/// Files that users give by mistake.
struct Files {
    folder: Folder,
}

impl Files {
    fn new() -> Self {
        Self { folder: Folder::new("command-line").unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn with(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// The job config of a pipeline whose Kafka is away.
    fn job(&self) -> String {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/tests/golden/job.v2.json");
        self.with("job.json", fs::read_to_string(golden).unwrap().replace("kafka:9092", &away()))
    }
}

/// An address without a listener.
fn away() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn the_version_names_revision_and_librdkafka() {
    let said = print(&["--version"]);
    let (before, librdkafka) = said.trim_end().split_once(", librdkafka ").unwrap();
    assert_eq!(before, concat!("processor ", env!("CARGO_PKG_VERSION"), " (revision dev"));
    assert!(librdkafka.starts_with("2.") && librdkafka.ends_with(')'), "{said}");
}

/// Every command, as words after the program.
fn commands(command: &clap::Command, path: &[String], found: &mut Vec<Vec<String>>) {
    found.push(path.to_vec());
    for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help") {
        commands(below, &[path, &[below.get_name().to_owned()]].concat(), found);
    }
}

#[test]
fn the_help_of_each_command_has_examples_that_are_understood() {
    Args::command().debug_assert();
    let examples = cli::pages::examples(&Args::command());
    for (place, words) in &examples {
        if let Err(error) = Args::try_parse_from(words) {
            panic!("{place} --help: {}: {error}", words.join(" "));
        }
    }

    let mut found = Vec::new();
    commands(&Args::command(), &[], &mut found);
    assert!(found.len() >= 12, "{found:?}");
    for path in found {
        let name = [&["processor".to_owned()], path.as_slice()].concat().join(" ");
        let shows = |words: &[String]| path.iter().all(|word| words.contains(word));
        assert!(examples.iter().any(|(place, words)| *place == name && shows(words)), "{name} --help has no example");
        let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let help = print(&arguments);
        assert!(help.contains("\nExamples:\n  ") && help.contains("Usage: processor"), "{name}: {help}");
    }
}

#[test]
fn the_help_has_the_exit_codes() {
    let help = print(&["--help"]);
    assert!(
        help.contains("Exit codes:\n  0  done, and nothing is wrong\n  1  done, and something was found"),
        "{help}"
    );
}

#[test]
fn commands_are_completed_in_each_shell() {
    for (shell, beginning) in [("bash", "_processor()"), ("zsh", "#compdef processor"), ("fish", "# Print an optspec")]
    {
        let script = print(&["completions", shell]);
        assert!(script.starts_with(beginning), "{shell}: {script}");
        for word in ["validate", "inspect", "deltas", "max-message-bytes", "fresh-topics"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

/// Makes bash complete a line, as when a user presses Tab after it.
#[test]
fn bash_completes_commands_options_and_values() {
    if Command::new("bash").arg("--version").stdout(Stdio::null()).status().is_err() {
        return;
    }
    let complete = |words: &str| {
        let script = format!(
            "source <(\"$0\" completions bash); COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _processor processor \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; echo \"${{COMPREPLY[@]}}\""
        );
        let bash = Command::new("bash").args(["-c", &script, env!("CARGO_BIN_EXE_processor")]).output().unwrap();
        assert_eq!(text(&bash.stderr), "");
        text(&bash.stdout).trim().to_owned()
    };

    assert_eq!(complete("processor val"), "validate");
    assert_eq!(complete("processor inspect del"), "deltas");
    assert_eq!(complete("processor validate --max"), "--max-message-bytes");
    assert_eq!(complete("processor validate --output ''"), "text json");
}

#[test]
fn each_command_has_a_man_page() {
    let folder = Folder::new("man").unwrap();
    let pages = folder.path().join("deep/man1");
    print(&["man", pages.to_str().unwrap()]);
    let read = |name: &str| fs::read_to_string(pages.join(name)).unwrap();
    assert!(read("processor.1").contains("Exit codes"));
    assert!(read("processor-inspect-deltas.1").contains("\\-\\-from"));
    assert!(print(&["man"]).contains(".TH processor 1"));
    let said = refusal(&["man", "/proc/nowhere"]);
    assert!(said.starts_with("/proc/nowhere: man pages cannot be written there: "), "{said}");
}

#[test]
fn a_command_line_that_is_wrong_is_answered_with_what_was_meant() {
    let (_, said) = misunderstood(&[]);
    assert!(said.contains("Usage: processor") && said.contains("generate"), "{said}");
    let (first, said) = misunderstood(&["generat"]);
    assert_eq!(first, "error: unrecognized subcommand 'generat'");
    assert!(said.contains("tip: a similar subcommand exists: 'generate'"), "{said}");
    let (_, said) = misunderstood(&["audit", "--confg", "job.json"]);
    assert!(said.contains("'--confg'") && said.contains("'--config'"), "{said}");

    for (arguments, expected) in [
        (&["audit"][..], "--config <FILE>"),
        (&["run", "--config", "job.json"], "--replica <NAME>"),
        (&["generate"], "--bootstrap <HOST:PORT>"),
        (&["validate", "events.jsonl"], "--pipeline <FILE>"),
    ] {
        let (_, said) = misunderstood(arguments);
        assert!(said.starts_with("error: the following required arguments were not provided:"), "{said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }

    for (arguments, expected) in [
        (
            &["audit", "--config", "x", "--wait", "5"][..],
            "invalid value '5' for '--wait <DURATION>': \"5\" is not a duration: write hours, minutes",
        ),
        (
            &["validate", "--pipeline", "x", "--timestamp", "yesterday", "-"],
            "invalid value 'yesterday' for '--timestamp <TIME>': \"yesterday\" is no time: write it as RFC 3339, such as",
        ),
        (&["generate", "--bootstrap", "x", "--late", "half"], "invalid value 'half' for '--late <SHARE>'"),
        (
            &["run", "--config", "x", "--replica", "a", "--listen", "8080"],
            "invalid value '8080' for '--listen <ADDRESS>'",
        ),
        (&["audit", "--config", "x", "--output", "yaml"], "invalid value 'yaml' for '--output <FORMAT>'"),
    ] {
        let (first, _) = misunderstood(arguments);
        assert!(first.starts_with(&format!("error: {expected}")), "{arguments:?}: {first}");
    }
}

#[test]
fn a_file_that_is_none_is_named_with_what_is_wanted() {
    let files = Files::new();
    let folder = files.folder.path().to_str().unwrap().to_owned();
    let (missing, empty, bytes) =
        (files.path("nowhere.json"), files.with("empty.json", "\n"), files.with("bytes", b"\xff\xfe"));

    for (path, problem) in [
        (&missing, "there is no such file"),
        (&folder, "is a folder: name a file in it"),
        (&empty, "is empty"),
        (&bytes, "is not text in UTF-8"),
    ] {
        let wanted = "; name the pipeline's job config, as the operator mounts it into its pods";
        for command in [&["audit"][..], &["inspect", "offsets"], &["run", "--replica", "a"]] {
            let said = refusal(&[command, &["--config", path]].concat());
            assert_eq!(said, format!("--config {path}: {problem}{wanted}"), "{command:?}");
        }
        let said = refusal(&["validate", "--config", path, "events.jsonl"]);
        assert_eq!(said, format!("--config {path}: {problem}{wanted}"));
        let wanted = "; name the manifest of a LoginPipeline";
        assert_eq!(refusal(&["local", path]), format!("{path}: {problem}{wanted}"));
        assert_eq!(refusal(&["validate", "--pipeline", path, "-"]), format!("--pipeline {path}: {problem}{wanted}"));
        let said = refusal(&["generate", "--bootstrap", "x:1", "--security", path]);
        assert_eq!(
            said,
            format!("--security {path}: {problem}; name a file with what stands at kafka.security of a job config")
        );
    }

    let said = refusal(&["inspect", "offsets"]);
    assert!(said.starts_with("--config is missing: name the pipeline's job config"), "{said}");
}

#[test]
fn a_file_of_another_kind_is_recognized() {
    let files = Files::new();
    let job = files.job();
    let manifest = "examples/pipeline.yaml";

    for arguments in [
        &["audit", "--config", manifest][..],
        &["run", "--replica", "a", "--config", manifest],
        &["validate", "-", "--config", manifest],
    ] {
        let said = refusal(arguments);
        assert!(said.starts_with("--config examples/pipeline.yaml: is the manifest of a LoginPipeline, not a job config: the operator makes one of it"), "{said}");
    }

    for arguments in [&["local", job.as_str()][..], &["validate", "-", "--pipeline", &job]] {
        let said = refusal(arguments);
        assert!(
            said.contains(
                "job.json: is a job config, which the operator makes from a LoginPipeline: give the manifest of that"
            ),
            "{said}"
        );
    }

    let other = files.with("other.yaml", "apiVersion: v1\nkind: ConfigMap\n");
    let said = refusal(&["local", &other]);
    assert!(
        said.contains("other.yaml: holds no LoginPipeline: a document with apiVersion: loginpipeline.dev/v1alpha1"),
        "{said}"
    );
    let said = refusal(&["audit", "--config", &other]);
    assert!(said.contains("other.yaml: not a job config: expected value at line 1 column 1"), "{said}");

    let broken = files.with("broken.yaml", "a: [");
    assert!(refusal(&["local", &broken]).contains("broken.yaml: is not YAML: "));
    let typo = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(manifest))
        .unwrap()
        .replace("cluster:", "clutser:");
    let said = refusal(&["validate", "-", "--pipeline", &files.with("typo.yaml", typo)]);
    assert!(said.contains("typo.yaml: spec.kafka.strimzi is ") && said.contains("cluster"), "{said}");
}

#[test]
fn a_manifest_that_is_wrong_is_refused_field_by_field() {
    let files = Files::new();
    let spec = "kafka: {}, source: {partitions: 0}, outputs: {}";
    let head = "apiVersion: loginpipeline.dev/v1alpha1\nkind: LoginPipeline\nmetadata: {name: logins}\n";
    let file = files.with("bad.yaml", format!("{head}spec: {{{spec}}}\n"));
    let output = processor(&["local", &file, "--exit"], "");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(text(&output.stdout), "", "{said}");
    for field in ["spec.kafka is", "spec.source.partitions is 0", "spec.outputs is "] {
        let line = format!("{file}: {field}");
        assert!(said.lines().any(|found| found.trim_start_matches("processor: ").starts_with(&line)), "{line}\n{said}");
    }
}

#[test]
fn values_that_make_no_sense_are_named_with_what_to_write() {
    let said = refusal(&["generate", "--bootstrap", "x:1", "--late", "2"]);
    assert!(said.contains("--late") && said.contains('2') && said.contains("0 to 1"), "{said}");
    let said = refusal(&["audit", "--config", "x", "--log-level", "processor=loud"]);
    assert!(
        said.starts_with("--log-level \"processor=loud\": ")
            && said.ends_with("; write info, or debug, or warn,processor=debug"),
        "{said}"
    );
}

#[test]
fn a_kafka_that_is_away_is_named_with_what_to_check() {
    let files = Files::new();
    let job = files.job();
    let address = away();
    let generate = ["generate", "--events", "1", "--bootstrap", &address];

    for arguments in [
        &generate[..],
        &["audit", "--config", &job, "--bootstrap", &address],
        &["inspect", "--config", &job, "--bootstrap", &address, "offsets"],
        &["inspect", "--config", &job, "--bootstrap", &address, "insights"],
        &["dead-letters", "--config", &job, "--bootstrap", &address, "list"],
        &["dead-letters", "--config", &job, "--bootstrap", &address, "replay", "--all"],
        &["local", "examples/pipeline.yaml", "--bootstrap", &address, "--exit"],
    ] {
        let output = processor(arguments, "");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        let error = said.lines().last().unwrap();
        assert!(
            error.starts_with("processor: ")
                && error.contains(&address)
                && error.contains("Connection refused; check the address and the port, and that Kafka runs there"),
            "{arguments:?}: {said}"
        );
        // Each takes some seconds, and shows progress.
        let progress: Vec<&str> = said.lines().rev().skip(1).collect();
        assert!(!progress.is_empty(), "{arguments:?}: {said}");
    }
}

const EVENT: &str = r#"{"user_id":"u","device_type":"iOS","locale":"RI","timestamp":1720576825}"#;

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let files = Files::new();
    let events = files.with("events.jsonl", format!("{EVENT}\n").repeat(100_000));
    let program = env!("CARGO_BIN_EXE_processor");
    let pipeline = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/pipeline.yaml");

    for command in [
        format!("{program} validate --pipeline {pipeline} {events}"),
        format!("{program} validate --output json --pipeline {pipeline} - < {events}"),
        format!("{program} man"),
        format!("{program} completions bash"),
        format!("{program} --help"),
        format!("{program} audit --config nowhere.json 2>&1"),
    ] {
        // A pipe whose reader closes it before anything is written.
        let line = format!("{{ sleep 0.3; {command}; echo \"exit $?\" >&2; }} | true");
        let output = Command::new("bash").args(["-c", &line]).output().unwrap();
        let said = text(&output.stderr);
        let code = if command.contains("nowhere") { 2 } else { 0 };
        assert_eq!(said, format!("exit {code}\n"), "{command}");
    }
}

/// The output of `validate`, line by line, and its exit code.
fn validate(arguments: &[&str], input: &str) -> (i32, Vec<String>, String) {
    let output = processor(&[&["validate", "--pipeline", "examples/pipeline.yaml"], arguments].concat(), input);
    let lines = text(&output.stdout).lines().map(str::to_owned).collect();
    (output.status.code().unwrap(), lines, text(&output.stderr))
}

#[test]
fn validate_says_of_each_line_what_becomes_of_it() {
    let late = EVENT.replace("1720576825", "1720576700");
    let input = format!("{EVENT}\r\n{late}\n\n{{\"user_id\":7}}\n{EVENT}");
    let (code, lines, _) = validate(&["-"], &input);
    let outcomes: Vec<&str> = lines.iter().take(5).map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(code, 1, "{lines:#?}");
    assert_eq!(outcomes, ["processed", "late", "dead-letter", "dead-letter", "processed"], "{lines:#?}");
    assert!(lines[2].contains("malformed: ") && lines[3].contains("missing-field: locale is missing"), "{lines:#?}");
    assert!(lines.iter().any(|line| line.split_whitespace().eq(["dead", "letters", "2"])), "{lines:#?}");

    let (code, lines, _) = validate(&["--output", "json", "--show", "dead-letters", "-"], &input);
    let json: Vec<serde_json::Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(code, 1);
    assert_eq!(json.len(), 3);
    assert_eq!(json[0]["line"], 3);
    assert_eq!(json[1]["reason"], "missing-field");
    assert_eq!(json[2]["lines"], 5);
    assert_eq!(json[2]["processed"], 3);
    assert_eq!(json[2]["late"], 1);

    let (code, lines, said) = validate(&["--show", "none", "-"], EVENT);
    assert_eq!(code, 0, "{lines:#?}");
    assert_eq!(lines.len(), 5, "{lines:#?}");
    assert_eq!(said, "", "{lines:#?}");
}

#[test]
fn validate_measures_the_future_against_the_timestamp() {
    let at = |timestamp: &str| validate(&["--timestamp", timestamp, "-"], EVENT).0;
    assert_eq!(at("2024-07-10T02:00:25Z"), 0);
    assert_eq!(at("1720576825"), 0);
    assert_eq!(at("2024-07-10T01:00:00Z"), 1);
    assert_eq!(validate(&["--max-message-bytes", "200", "-"], EVENT).0, 1, "too large");
}

#[test]
fn validate_without_events_says_what_it_wants() {
    let files = Files::new();
    let wanted = "name a file of events, one JSON object a line, or - for stdin";
    let folder = files.folder.path().to_str().unwrap().to_owned();
    let pipeline = ["validate", "--pipeline", "examples/pipeline.yaml"];

    for (path, problem) in [
        ("-", "is empty"),
        (&files.with("empty", ""), "is empty"),
        (&files.path("no"), "there is no such file"),
        (&folder, "is a folder: name a file in it"),
    ] {
        assert_eq!(refusal(&[&pipeline[..], &[path]].concat()), format!("{path}: {problem}; {wanted}"));
    }

    let (code, _, said) = validate(&["--show", "none", "examples/pipeline.yaml"], "");
    assert!(code == 1 && said.starts_with("every line is malformed: one event a line is wanted"), "{said}");
}

/// Long work shows progress, even when nothing is written to the terminal for a while.
#[test]
fn validate_shows_progress() {
    let files = Files::new();
    let fifo: PathBuf = files.path("fifo").into();
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let child = Command::new(env!("CARGO_BIN_EXE_processor"))
        .args(["validate", "--show", "none", "--pipeline"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/pipeline.yaml"))
        .arg(&fifo)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();

    let mut events = fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    events.write_all(format!("{EVENT}\n").as_bytes()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2500));
    drop(events);

    let said = text(&child.wait_with_output().unwrap().stderr);
    assert!(said.starts_with("judging: 1 lines") && said.lines().count() == 1, "{said}");
}
