//! The generated pages are what their sources say.

use crds::pipeline::LoginPipeline;
use kube::CustomResourceExt;
use serde_json::Value;

#[test]
fn the_page_of_commands_is_current() {
    let page = include_str!("../../docs/commands.md");
    assert!(xtask::commands::page() == page, "docs/commands.md is stale: make commands");
    for line in ["| 2 | could not be done", "## processor inspect deltas", "## operator check", "`LOGIN_PIPELINE_LOG`"]
    {
        assert!(page.contains(line), "{line}");
    }
}

#[test]
fn the_page_of_the_resource_is_current() {
    let page = include_str!("../../docs/resource.md");
    assert!(xtask::resource::page().unwrap() == page, "docs/resource.md is stale: make docs");

    let definition = serde_json::to_value(LoginPipeline::crd()).unwrap();
    let spec = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut fields = 0;
    for line in include_str!("../../examples/reference.yaml").lines() {
        let Some((name, _)) = line.trim_start_matches([' ', '-']).split_once(':') else { continue };
        let known = |schema: &Value| schema["properties"].get(name).is_some();
        if known(spec) || spec["properties"].as_object().unwrap().values().any(known) {
            assert!(page.contains(&format!("`{name}`")) || page.contains(&format!(".{name}`")), "{name}");
            fields += 1;
        }
    }

    assert!(fields > 50, "{fields} fields");
}
