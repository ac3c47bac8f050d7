//! Runs the documented commands that need docker, unchanged; scripts play docker, and cargo, because everything is
//! built.

use std::fs;

use testkit::docs::{Checkout, Script};

use crate::machine::Machine;

/// The played machine, in a folder that looks like a clone.
fn checkout(machine: &Machine) -> Checkout {
    let mut checkout = Checkout::new().unwrap();
    for (name, value) in machine.variables() {
        checkout = checkout.variable(name, value);
    }
    for name in ["docker", "cargo", "helm", "kubectl"] {
        checkout = checkout.program(name, machine.folder.path().join(name)).unwrap();
    }
    checkout.program("kind", machine.kind()).unwrap()
}

#[test]
fn what_is_typed_where_docker_is() {
    let mut script = Script::of("operator/tests/install/documents.rs: what_is_typed_where_docker_is");
    let machine = Machine::built();
    let mut checkout = checkout(&machine);

    checkout.succeed(&script.take("README.md", "make kind-up kind-load"));
    let calls = machine.calls();
    assert!(calls.contains("apply -f scripts/kafka.yaml\n"), "{calls}");
    assert_eq!(calls.matches("images import").count(), 2, "{calls}");

    // The command begins with a registry, which another command of docs/install.md names.
    let page = testkit::docs::read("docs/install.md").unwrap();
    let registry = testkit::docs::commands("docs/install.md", &page).unwrap().remove(0);
    assert_eq!(registry.text, "registry=registry.example.com/team");
    checkout.succeed(&registry);
    checkout.succeed(&script.take("docs/install.md", "for name in"));
    let calls = machine.calls();
    for name in ["operator", "processor"] {
        let image = format!("registry.example.com/team/login-pipeline-{name}:{}", env!("CARGO_PKG_VERSION"));
        assert!(calls.contains(&format!("docker build --target {name} --tag {image} .\n")), "{calls}");
        assert!(calls.contains(&format!("docker push {image}\n")), "{calls}");
    }

    checkout.succeed(&script.take("docs/install.md", "scripts/kind kafka"));
    let calls = machine.calls();
    assert!(calls.contains("kubectl --context somewhere apply -f scripts/kafka.yaml\n"), "{calls}");

    let made = || machine.folder.path().join("node").exists();
    for (command, is_there) in [("make kind-up", true), ("make kind-load", true), ("make kind-down", false)] {
        checkout.succeed(&script.take("docs/install.md", command));
        assert_eq!(made(), is_there, "{command}");
    }

    let said = checkout.succeed(&script.take("docs/install.md", "LOGIN_PIPELINE_E2E_KUBECONFIG="));
    assert!(said.lines().any(|line| line.starts_with("node ") && line.ends_with("  passed")), "{said}");
    let tested = fs::read_to_string(machine.folder.path().join("tested")).unwrap();
    assert_eq!(
        tested,
        "test --workspace --locked --no-fail-fast --bin processor --test node -- --nocapture\nkubeconfig 10.244.255.1\n"
    );
}
