//! The command line: its help, and its answers to common mistakes. No service is needed.

#![expect(clippy::unwrap_used, reason = "assertions of tests")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use clap::{CommandFactory, Parser};
use operator::args::Args;
use testkit::process::Folder;

/// Runs it without a cluster: at an address without a listener.
fn operator(arguments: &[&str]) -> Output {
    let folder = Folder::new("no-cluster").unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let config = serde_json::json!({"apiVersion": "v1", "kind": "Config", "current-context": "a",
        "users": [{"name": "a", "user": {}}],
        "clusters": [{"name": "a", "cluster": {"server": server}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}]});
    fs::write(&kubeconfig, config.to_string()).unwrap();
    Command::new(env!("CARGO_BIN_EXE_operator"))
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .env("KUBECONFIG", &kubeconfig)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn print(arguments: &[&str]) -> String {
    let output = operator(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// The error of a command that cannot be executed: the last line on stderr.
fn refusal(arguments: &[&str]) -> String {
    let output = operator(arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    assert_eq!(text(&output.stdout), "", "{arguments:?}: {said}");
    said.lines().last().unwrap().strip_prefix("operator: ").unwrap().to_owned()
}

/// The error for a command line that cannot be parsed.
fn misunderstood(arguments: &[&str]) -> String {
    let output = operator(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    text(&output.stderr)
}

#[test]
fn the_version_names_revision_kubernetes_and_librdkafka() {
    let said = print(&["--version"]);
    let (before, librdkafka) = said.trim_end().split_once(", librdkafka ").unwrap();
    assert_eq!(before, concat!("operator ", env!("CARGO_PKG_VERSION"), " (revision dev, Kubernetes API 1.33"));
    assert!(librdkafka.starts_with("2."), "{said}");
    let workspace = include_str!("../../Cargo.toml");
    assert!(workspace.contains(r#"k8s-openapi = { version = "0.29", features = ["v1_33"] }"#), "as the version says");
}

#[test]
fn commands_are_completed_in_each_shell() {
    for (shell, beginning) in [("bash", "_operator()"), ("zsh", "#compdef operator"), ("fish", "# Print an optspec")] {
        let script = print(&["completions", shell]);
        assert!(script.starts_with(beginning), "{shell}: {script}");
        for word in ["validate", "check", "watch-namespaces", "lease-namespace"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn each_command_has_a_man_page() {
    let folder = Folder::new("man").unwrap();
    print(&["man", folder.path().to_str().unwrap()]);
    let page = fs::read_to_string(folder.path().join("operator-check.1")).unwrap();
    assert!(page.contains("lease\\-namespace"), "{page}");
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

    for command in Args::command().get_subcommands() {
        let name = format!("operator {}", command.get_name());
        assert!(examples.iter().any(|(place, words)| *place == name && words.join(" ").starts_with(&name)), "{name}");
        assert!(print(&[command.get_name(), "--help"]).contains("\nExamples:\n  "), "{name}");
    }

    let help = print(&["--help"]);
    assert!(
        help.contains("Exit codes:\n  0  done, and nothing is wrong") && help.contains("\n  3  operator run: "),
        "{help}"
    );
}

#[test]
fn a_command_line_that_is_wrong_is_answered_with_what_was_meant() {
    assert!(misunderstood(&[]).contains("Usage: operator"));
    let said = misunderstood(&["chekc"]);
    assert!(said.starts_with("error: unrecognized subcommand 'chekc'") && said.contains("'check'"), "{said}");
    let said = misunderstood(&["validate"]);
    assert!(said.contains("<FILE>..."), "{said}");

    for (arguments, expected) in [
        (
            &["run", "--measure-interval", "5"][..],
            "invalid value '5' for '--measure-interval <DURATION>': \"5\" is not a duration: write hours",
        ),
        (
            &["run", "--measure-interval", "10ms"],
            "invalid value '10ms' for '--measure-interval <DURATION>': choose at least 1s",
        ),
        (&["run", "--listen", "8080"], "invalid value '8080' for '--listen <ADDRESS>': "),
        (&["check", "--output", "yaml"], "invalid value 'yaml' for '--output <FORMAT>'"),
    ] {
        let said = misunderstood(arguments);
        assert!(said.starts_with(&format!("error: {expected}")), "{arguments:?}: {said}");
    }
}

/// The lines of `operator validate`, and its exit code.
fn validate(arguments: &[&str]) -> (i32, String) {
    let output = operator(&[&["validate"], arguments].concat());
    (output.status.code().unwrap(), text(&output.stdout))
}

#[test]
fn a_file_that_is_none_is_named_with_what_is_wrong() {
    let folder = Folder::new("files").unwrap();
    let empty = folder.path().join("empty.yaml");
    fs::write(&empty, "\n").unwrap();
    assert_eq!(validate(&["nowhere.yaml"]), (2, "nowhere.yaml: there is no such file\n".to_owned()));
    assert_eq!(validate(&["examples"]), (2, "examples: is a folder: name a file in it\n".to_owned()));
    assert_eq!(validate(&[empty.to_str().unwrap()]), (2, format!("{}: is empty\n", empty.display())));
    let (code, said) = validate(&["crds/tests/golden/job.v2.json"]);
    assert!(code == 1 && said.contains("job.v2.json: document 1: is a job config, which the operator makes"), "{said}");
}

#[test]
fn validate_tells_programs_too() {
    let (code, said) = validate(&["--output", "json", "operator/tests/fixtures/bad.yaml", "nowhere.yaml"]);
    let lines: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(code, 2);
    assert_eq!(lines[0]["document"], 1);
    assert_eq!(lines[0]["result"], "problem");
    let message = lines[0]["message"].as_str().unwrap();
    assert!(message.starts_with("spec.archive is []: no such field"), "{message}");
    let last = lines.last().unwrap();
    assert_eq!(last["file"], "nowhere.yaml");
    assert_eq!(last["result"], "unreadable");
    assert_eq!(last.get("document"), None);
}

#[test]
fn a_cluster_that_is_away_is_told_with_what_to_do() {
    let output = operator(&["check"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("Connection refused") && said.contains("hint: "), "{said}");
    let said = refusal(&["check", "--pipeline", "logins"]);
    assert!(said.contains("\"logins\"") && said.contains("nor a file of that name"), "{said}");
    let said = refusal(&["check", "--pipeline", "crds/tests/golden/job.v2.json"]);
    assert!(said.contains("job.v2.json: ") && said.contains("is a job config"), "{said}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let program = env!("CARGO_BIN_EXE_operator");
    for command in ["crd", "completions bash", "man", "--help", "validate nowhere.yaml"] {
        let line = format!("{{ sleep 0.3; {program} {command}; echo \"exit $?\" >&2; }} | true");
        let output = Command::new("bash").args(["-c", &line]).output().unwrap();
        let code = if command.contains("nowhere") { 2 } else { 0 };
        assert_eq!(text(&output.stderr), format!("exit {code}\n"), "{command}");
    }
}
