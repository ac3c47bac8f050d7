//! The command line itself.

#![expect(clippy::unwrap_used, reason = "assertions of tests")]

use std::process::Command;

fn print(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_operator")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_version_is_that_of_the_package() {
    let said = print(&["--version"]);
    let (before, librdkafka) = said.trim_end().split_once(", librdkafka ").unwrap();
    assert_eq!(before, concat!("operator ", env!("CARGO_PKG_VERSION"), " (revision dev, Kubernetes API 1.33"));
    assert!(librdkafka.starts_with("2."), "{said}");
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
