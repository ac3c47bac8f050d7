//! The Tiltfile, run in Tilt's language with Tilt's functions played: the files it names exist, and the chart accepts
//! its values.

use std::{collections::BTreeSet, process::Command, sync::LazyLock, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use testkit::{
    install::Checks,
    process::{Folder, Process, Program},
    tools::Tools,
    wait_for,
};

use crate::{dockerfile, path, said};

const BOUND: Duration = Duration::from_secs(20);

/// The calls of Tilt's functions, in order.
static CALLS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let output = Checks::find().unwrap().tiltfile(&path("Tiltfile")).unwrap();
    serde_json::from_str(&said(output)).unwrap()
});

/// The arguments of each call of a function.
fn calls(function: &str) -> Vec<&'static Value> {
    let of_function = CALLS.iter().filter(|call| call["function"] == function);
    let arguments: Vec<_> = of_function.map(|call| &call["arguments"]).collect();
    assert!(!arguments.is_empty(), "{function} is never called");
    arguments
}

/// A text or a list of texts, as a list.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(items) => items.iter().map(|item| item.as_str().unwrap()).collect(),
        Value::Null => Vec::new(),
        value => vec![value.as_str().unwrap()],
    }
}

/// The objects that the chart renders with the values of the Tiltfile.
fn chart() -> Vec<Value> {
    let helm = calls("helm")[0];
    let chart = path(helm["paths"].as_str().unwrap());
    let (name, namespace) = (helm["name"].as_str().unwrap(), helm["namespace"].as_str().unwrap());
    let mut arguments = vec!["template", name, chart.to_str().unwrap(), "--namespace", namespace];
    arguments.extend(texts(&helm["set"]).into_iter().flat_map(|value| ["--set", value]));
    let rendered = said(Tools::find().unwrap().helm(None, &arguments).unwrap());
    serde_yaml::Deserializer::from_str(&rendered).map(|document| Value::deserialize(document).unwrap()).collect()
}

/// The pipeline object that the Tiltfile passes to Tilt.
fn pipeline() -> &'static Value {
    let objects = calls("encode_yaml").into_iter().map(|encoded| &encoded["obj"]);
    objects.into_iter().find(|object| object["kind"] == "LoginPipeline").unwrap()
}

#[test]
fn every_path_is_there() {
    let mut named = BTreeSet::new();
    for resource in calls("local_resource") {
        named.extend(texts(&resource["deps"]));
        named.extend(texts(&resource["ignore"]));
    }
    for image in calls("docker_build") {
        named.insert(image["dockerfile"].as_str().unwrap());
    }
    named.insert(calls("helm")[0]["paths"].as_str().unwrap());
    named.extend(calls("read_yaml").into_iter().map(|read| read["path"].as_str().unwrap()));
    let words = calls("local_resource")
        .into_iter()
        .flat_map(|resource| resource["cmd"].as_str().unwrap_or_default().split(' '));
    named.extend(words.filter(|word| word.starts_with("scripts/")));

    let missing: Vec<_> = named.iter().filter(|name| !path(name).exists()).collect();
    assert!(missing.is_empty(), "{missing:?} are not there");
    assert!(named.len() > 10, "{named:?}");
}

/// `helm template` checks them against the schema, which allows no other values.
#[test]
fn the_chart_takes_the_values_and_runs_the_image_that_is_built() {
    let objects = chart();
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let image = container["image"].as_str().unwrap().split(':').next().unwrap();
    let built: Vec<_> = calls("docker_build").into_iter().map(|image| image["ref"].as_str().unwrap()).collect();
    assert_eq!(built, [image, pipeline()["spec"]["processor"]["image"].as_str().unwrap()]);
    // Otherwise live update could not replace the binary, or would lose its arguments.
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], false);
    assert_eq!(container["command"], Value::Null);
    assert_eq!(container["args"][0], "run");
    let found = calls("k8s_kind")[0]["image_json_path"].as_str().unwrap();
    assert_eq!(found, "{.spec.processor.image}");
}

#[test]
fn resources_depend_on_resources_and_have_labels() {
    let mut known: BTreeSet<_> =
        calls("local_resource").into_iter().map(|resource| resource["name"].as_str().unwrap()).collect();
    let workloads: BTreeSet<_> =
        calls("k8s_resource").into_iter().map(|resource| resource["workload"].as_str().unwrap()).collect();
    known.extend(&workloads);

    for resource in calls("local_resource").into_iter().chain(calls("k8s_resource")) {
        assert_eq!(texts(&resource["labels"]).len(), 1, "{resource}");
        for needed in texts(&resource["resource_deps"]) {
            assert!(known.contains(needed), "there is no {needed}");
        }
    }

    let objects = chart();
    let deployed = objects.iter().filter(|object| object["kind"] == "Deployment");
    let deployed = deployed.chain([pipeline()]).map(|object| object["metadata"]["name"].as_str().unwrap());
    assert_eq!(workloads, deployed.collect());
}

#[test]
fn the_generator_and_the_audit_wait_to_be_asked() {
    for (name, command) in [("generate", "serve_cmd"), ("audit", "cmd")] {
        let resources = calls("local_resource");
        let resource = resources.into_iter().find(|resource| resource["name"] == name).unwrap();
        assert_eq!(resource["auto_init"], false);
        assert_eq!(resource["trigger_mode"], "manual");
        let pods =
            format!("deployment/{}-processor -- processor {name} ", pipeline()["metadata"]["name"].as_str().unwrap());
        assert!(resource[command].as_str().unwrap().contains(&pods), "{resource}");
    }
}

#[test]
fn the_pipeline_is_valid() {
    let folder = Folder::new("tilt").unwrap();
    let file = folder.path().join("pipeline.yaml");
    std::fs::write(&file, pipeline().to_string()).unwrap();
    said(Command::new(env!("CARGO_BIN_EXE_operator")).arg("validate").arg(&file).output().unwrap());
}

#[test]
fn the_images_are_built_from_what_their_context_has() {
    let file = path("scripts/tilt/Dockerfile");
    for image in calls("docker_build") {
        assert_eq!(path(image["dockerfile"].as_str().unwrap()), file);
        let build = dockerfile::build(&file, image["target"].as_str().unwrap());
        assert_eq!(build["config"]["User"], "65532:65532");

        let copied =
            build["steps"].as_array().unwrap().iter().flat_map(|step| step["copy"].as_array().into_iter().flatten());
        let copied: BTreeSet<_> = copied
            .map(|copy| copy.as_str().unwrap().split(' ').next().unwrap().trim_start_matches('/').to_owned())
            .collect();
        assert_eq!(copied, texts(&image["only"]).into_iter().map(str::to_owned).collect());

        for step in image["live_update"].as_array().into_iter().flatten() {
            if let Some(target) = step["sync"]["remote_path"].as_str() {
                assert_eq!(build["config"]["Entrypoint"][1], target, "what is replaced is what runs");
            }
        }
    }
}

/// Live update relies on this: the command is restarted on request, with its arguments; if it ends by itself, the
/// container ends; stopping the container stops it.
#[test]
fn a_command_is_run_anew_when_that_is_asked() {
    let folder = Folder::new("rerun").unwrap();
    let (rerun, notes) = (path("scripts/tilt/rerun"), folder.path().to_str().unwrap().to_owned());
    let script = "trap 'exit 7' TERM; echo begun $0; while :; do sleep 0.05; done";
    let start = |name: &str| {
        let program = Program::new(name, &rerun).args(["sh", "-c", script, "run"]);
        program.env("RERUN_FOLDER", &notes).spawn(&folder).unwrap()
    };
    let begun = |container: &Process, times: usize| {
        wait_for("another run", BOUND, || (container.log() == "begun run\n".repeat(times)).then_some(()));
    };
    // The process that runs, once it differs from this one.
    let running = |before: &str| {
        let file = folder.path().join("rerun.pid");
        let other = |pid: &String| !pid.is_empty() && pid != before;
        wait_for("a process", BOUND, || std::fs::read_to_string(&file).ok().filter(other))
    };

    let mut container = start("first");
    begun(&container, 1);
    let first = running("");
    assert!(Command::new(&rerun).arg("--now").env("RERUN_FOLDER", &notes).status().unwrap().success());
    begun(&container, 2);
    let second = running(&first);
    assert_eq!(container.terminate(BOUND).unwrap(), 7, "stopped, with the command's code");

    // Another process ends it: the container ends too.
    let mut container = start("second");
    begun(&container, 1);
    let pid = running(&second);
    assert!(Command::new("kill").arg(pid.trim()).status().unwrap().success());
    assert_eq!(container.wait(BOUND).unwrap(), 7);
}
