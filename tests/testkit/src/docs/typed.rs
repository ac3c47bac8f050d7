//! The table of documented commands and the tests that run them.

use super::{Command, commands, pages, read, root};
use crate::Error;

/// How a command is known to work.
#[derive(Clone, Copy, Debug)]
pub enum By {
    /// A test, `path/to/file.rs: function`, that runs the commands of [`Script::of`](super::Script::of).
    Test(&'static str),
    /// No test can run it: the reason, and how it is known to work.
    Nobody(&'static str),
}

/// Commands of a page with the same beginning.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The page, from the root of the repository.
    pub page: &'static str,
    /// The beginning of the commands; empty for the whole page. If several rows match, the longest applies.
    pub begins: &'static str,
    /// How they are known to work.
    pub by: By,
}

const fn typed(page: &'static str, begins: &'static str, test: &'static str) -> Row {
    Row { page, begins, by: By::Test(test) }
}

const fn untyped(page: &'static str, begins: &'static str, why: &'static str) -> Row {
    Row { page, begins, by: By::Nobody(why) }
}

const README: &str = "README.md";
const CONTRIBUTING: &str = "CONTRIBUTING.md";
const INSTALL: &str = "docs/install.md";
const KUBERNETES: &str = "docs/kubernetes.md";
const TOOLS: &str = "docs/tools.md";
const SECURITY: &str = "docs/security.md";
const CHART: &str = "charts/login-pipeline-operator/README.md";

/// A machine with Kafka and nothing else.
const MACHINE: &str = "processor/tests/kafka/documents.rs: what_is_typed_on_a_machine_with_a_kafka";
const DEMO: &str = "processor/tests/kafka/documents.rs: the_demo";
/// A machine without any service.
const ALONE: &str = "operator/tests/docs.rs: what_is_typed_without_a_cluster";
/// A machine with a stand-in for docker.
const DOCKER: &str = "operator/tests/install/documents.rs: what_is_typed_where_docker_is";
const SERVER: &str = "operator/tests/cluster/documents.rs: what_is_typed_to_install_upgrade_and_uninstall";
const SECRETS: &str = "operator/tests/cluster/documents.rs: secrets_are_made_as_the_page_on_security_says";
/// A real node, from `helm install` to the audit.
const NODE: &str = "operator/tests/node/readme.rs: what_is_told_of_a_cluster";
const ACLS_OF_PODS: &str = "processor/tests/kafka/security.rs: what_is_documented_is_all_that_a_user_must_be_allowed";
const ACLS_OF_THE_OPERATOR: &str =
    "operator/tests/cluster/secrets.rs: the_operator_needs_no_acls_beyond_the_documented_ones";

/// Every command in the documents. A new command needs a row, and the test that runs it.
pub const TABLE: &[Row] = &[
    typed(README, "make demo", DEMO),
    untyped(CONTRIBUTING, "make", "CI types `make test` (.ci/run), and so every tier and every other row"),
    typed(KUBERNETES, "target/release/operator", ALONE),
    typed("docs/quickstart.md", "make demo", DEMO),
    typed("docs/quickstart.md", "config=", DEMO),
    typed("docs/quickstart.md", "target/demo/processor", DEMO),
    typed(TOOLS, "cargo build", MACHINE),
    typed(TOOLS, "target/release/processor", MACHINE),
    typed(TOOLS, "processor", MACHINE),
    typed("docs/dead-letters.md", "processor", MACHINE),
    typed(README, "make kind-up", DOCKER),
    typed(README, "helm install", NODE),
    typed(README, "kubectl", NODE),
    typed(KUBERNETES, "kubectl", NODE),
    typed(TOOLS, "config=", NODE),
    typed(TOOLS, "kubectl", NODE),
    typed("docs/runbook.md", "", NODE),
    typed("docs/migrating.md", "", NODE),
    typed("docs/monitoring.md", "kubectl", NODE),
    typed(INSTALL, "registry=", SERVER),
    typed(INSTALL, "for name in", DOCKER),
    typed(INSTALL, "scripts/kind", DOCKER),
    typed(INSTALL, "make kind", DOCKER),
    typed(INSTALL, "helm", SERVER),
    typed(INSTALL, "kubectl", SERVER),
    typed(INSTALL, "LOGIN_PIPELINE_E2E_KUBECONFIG", DOCKER),
    typed(CHART, "helm", SERVER),
    typed(CHART, "kubectl", SERVER),
    typed(SECURITY, "kubectl", SECRETS),
    typed(SECURITY, "acl", ACLS_OF_PODS),
    typed(SECURITY, "topics=", ACLS_OF_THE_OPERATOR),
    typed(SECURITY, "acl --operation Create", ACLS_OF_THE_OPERATOR),
];

/// The row that matches a command.
fn row_of<'t>(table: &'t [Row], command: &Command) -> Option<&'t Row> {
    let fitting = table.iter().filter(|row| row.page == command.page && command.text.starts_with(row.begins));
    fitting.max_by_key(|row| row.begins.len())
}

fn all_commands() -> Result<Vec<Command>, Error> {
    let mut all = Vec::new();
    for page in pages()? {
        all.extend(commands(&page, &read(&page)?)?);
    }
    Ok(all)
}

/// The commands that tests run.
pub(super) fn typed_commands() -> Result<Vec<Command>, Error> {
    let is_its = |command: &Command| matches!(row_of(TABLE, command), Some(Row { by: By::Test(_), .. }));
    Ok(all_commands()?.into_iter().filter(is_its).collect())
}

/// Whether one of these commands is this text, or becomes it when some of its words are left out. Words in comments do
/// not count.
pub(super) fn is_typed(text: &str, commands: &[String]) -> bool {
    let without_comment = |line| str::split(line, " # ").next().unwrap_or_default();
    commands.iter().any(|command| {
        let mut words = command.lines().map(without_comment).flat_map(str::split_whitespace);
        text.split_whitespace().all(|word| words.any(|other| other == word))
    })
}

/// The commands that the table assigns to a test, page by page.
pub(super) fn commands_of(test: &str) -> Result<Vec<Command>, Error> {
    let is_its =
        |command: &Command| row_of(TABLE, command).is_some_and(|row| matches!(row.by, By::Test(name) if name == test));
    Ok(all_commands()?.into_iter().filter(is_its).collect())
}

/// The inconsistencies between the documents, the table and the tests, one sentence each: a command without a row, a
/// row without a command, a test that does not exist or does not take its commands from the documents.
///
/// # Errors
/// [`Error::Io`] when a document cannot be read.
pub fn problems() -> Result<Vec<String>, Error> {
    let source = |file: &str| std::fs::read_to_string(root().join(file)).unwrap_or_default();
    Ok(disagreements(&all_commands()?, TABLE, source))
}

fn disagreements(commands: &[Command], table: &[Row], source: impl Fn(&str) -> String) -> Vec<String> {
    let unknown = commands.iter().filter(|command| row_of(table, command).is_none()).map(|command| {
        let Command { page, line, text } = command;
        format!(
            "{page}:{line}: no test types `{text}`: give it a row in tests/testkit/src/docs/typed.rs, or take it out"
        )
    });
    let unused = table.iter().filter(|row| {
        !commands.iter().any(|command| row_of(table, command).is_some_and(|found| std::ptr::eq(found, *row)))
    });
    let unused = unused.map(|row| format!("{} has no command that begins with {:?}", row.page, row.begins));
    let untyped = table.iter().filter_map(|row| match row.by {
        By::Test(test) => Some((row, test)),
        By::Nobody(_) => None,
    });
    let untyped = untyped.filter(|(_, test)| !takes_its_commands(test, &source));
    let untyped = untyped.map(|(row, test)| {
        format!("{}, {:?}: there is no test {test} with `Script::of(\"{test}\")` in it", row.page, row.begins)
    });
    unknown.chain(unused).chain(untyped).collect()
}

/// Whether the test exists and takes its commands by its own name.
fn takes_its_commands(test: &str, source: impl Fn(&str) -> String) -> bool {
    let Some((file, name)) = test.split_once(": ") else { return false };
    let source = source(file);
    let Some((before, after)) = source.split_once(&format!("fn {name}(")) else { return false };
    let attributes = before.rsplit("\n\n").next().unwrap_or_default();
    let body = after.split("\n}\n").next().unwrap_or_default();
    let is_run = attributes.contains("#[test]") || attributes.contains("#[tokio::test");
    let takes = body.split("Script::of(").skip(1).any(|rest| rest.trim_start().starts_with(&format!("\"{test}\"")));
    is_run && !attributes.contains("#[ignore") && takes
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: &str = "tests/a.rs: types";
    const SOURCE: &str =
        "use x;\n\n#[test]\nfn types() {\n    Script::of(\"tests/a.rs: types\");\n}\n\nfn other() {\n}\n";

    fn command(text: &str) -> Command {
        Command { page: "README.md".to_owned(), line: 7, text: text.to_owned() }
    }

    fn found(commands: &[&str], table: &[Row], source: &str) -> Vec<String> {
        let commands: Vec<_> = commands.iter().map(|text| command(text)).collect();
        disagreements(&commands, table, |file| if file == "tests/a.rs" { source.to_owned() } else { String::new() })
    }

    #[test]
    fn every_command_has_a_row_and_every_row_a_command_and_a_test() {
        let table = [typed("README.md", "make", TEST)];
        assert_eq!(found(&["make a", "make b"], &table, SOURCE), [""; 0]);
        let nothing = found(&["make a", "helm b"], &table, SOURCE);
        assert!(nothing.len() == 1 && nothing[0].starts_with("README.md:7: no test types `helm b`"), "{nothing:?}");
        let elsewhere = found(&["make a"], &[table[0], typed("docs/x.md", "make", TEST)], SOURCE);
        assert_eq!(elsewhere, ["docs/x.md has no command that begins with \"make\""]);
        let hidden = found(&["make a"], &[table[0], typed("README.md", "make a", TEST)], SOURCE);
        assert_eq!(hidden, ["README.md has no command that begins with \"make\""]);
    }

    #[test]
    fn a_test_must_take_its_commands_itself() {
        let table = [typed("README.md", "make", TEST)];
        let others = [
            "",
            "\n\n#[test]\nfn types() {\n}\n\nfn other() {\n    Script::of(\"tests/a.rs: types\");\n}\n",
            "\n\nfn types() {\n    Script::of(\"tests/a.rs: types\");\n}\n",
            "\n\n#[test]\n#[ignore]\nfn types() {\n    Script::of(\"tests/a.rs: types\");\n}\n",
            "\n\n#[test]\nfn types() {\n    Script::of(\"tests/a.rs: another\");\n}\n",
        ];
        for source in others {
            let found = found(&["make a"], &table, source);
            assert!(found.len() == 1 && found[0].contains("there is no test tests/a.rs: types"), "{source}: {found:?}");
        }
    }
}
