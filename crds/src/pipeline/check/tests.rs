//! The rules in Rust against the rules in CEL, as kube's client-side evaluator judges them.

use std::collections::BTreeSet;

use kube_cel::{CompiledSchema, Validator, compile_schema};
use proptest::{
    prelude::*,
    sample::{select, subsequence},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::json;

use super::*;

/// Rules by their condition and place.
type Rules = BTreeSet<(String, String)>;

fn definition() -> Value {
    let definition = serde_json::to_value(LoginPipeline::crd()).unwrap();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// A pipeline with values inside and outside of what each rule allows.
fn any_pipeline() -> impl Strategy<Value = (String, Value)> {
    let name = select(vec!["logins".to_owned(), "a.b".to_owned(), "a".repeat(40), "a".repeat(41)]);
    (name, any_kafka(), any_topics(), any_aggregation(), proptest::collection::vec(any_alert(), 0..3), any_processor())
        .prop_map(
            |(name, kafka, [source, output, dead, aggregates, insights, alerts], aggregation, rules, processor)| {
                let topic = |topic: &str| json!({"topic": topic});
                let results =
                    json!({"aggregates": topic(aggregates), "insights": topic(insights), "alerts": topic(alerts)});
                let spec = json!({
                    "kafka": kafka, "source": topic(source), "output": topic(output), "deadLetters": topic(dead),
                    "aggregation": aggregation, "alerts": rules, "results": results, "processor": processor,
                });
                (name, spec)
            },
        )
}

fn any_kafka() -> impl Strategy<Value = Value> {
    let servers = select(vec![
        "a:1",
        "kafka",
        "kafka:0",
        "kafka:65535,[::1]:65536",
        "a_b:99999",
        "kafka:9092,[::1]:9093",
        "a:1, b:1",
        "a:1,",
        ":1",
        "a:+1",
    ]);
    let external = servers.prop_map(|servers| json!({"bootstrapServers": servers}));
    (any::<bool>(), proptest::option::of(external)).prop_map(|(is_strimzi, external)| {
        let mut kafka = json!({});
        if is_strimzi {
            kafka["strimzi"] = json!({"cluster": "a"});
        }
        if let Some(external) = external {
            kafka["external"] = external;
        }
        kafka
    })
}

fn any_topics() -> impl Strategy<Value = [&'static str; 6]> {
    let topic = |other| {
        select(vec![other, other, other, ".", "..", "same", "x.logins.deltas", "x.logins.state", "x.other.replays"])
    };
    [topic("a"), topic("b"), topic("c"), topic("d"), topic("e"), topic("f")]
}

fn any_aggregation() -> impl Strategy<Value = Value> {
    let sizes = vec!["1m", "60s", "90s", "all", "1h", "1500ms", "100ms", "0s", "2m", "0h1m0s"];
    let windows = subsequence(sizes, 1..=4).prop_shuffle();
    let dimensions = subsequence(vec!["device_type", "locale", "app_version"], 0..=3);
    (windows, dimensions, select(vec!["10s", "1s", "999ms", "0s"])).prop_map(
        |(windows, dimensions, idle)| json!({"windows": windows, "dimensions": dimensions, "idleTimeout": idle}),
    )
}

fn any_alert() -> impl Strategy<Value = Value> {
    let field = |name: &'static str, values: Vec<Value>| {
        proptest::option::of(select(values)).prop_map(move |value| (name, value))
    };
    (
        select(vec!["1m", "60s", "1h", "all", "5m"]),
        field("dimension", vec![json!("locale"), json!("app_version")]),
        field("value", vec![json!("RI"), json!("_other"), json!("_missing")]),
        field("above", vec![json!(0), json!(10)]),
        field("deviation", vec![json!(0), json!(0.05), json!(0.1), json!(3), json!(1000.0)]),
    )
        .prop_map(|(window, dimension, value, above, deviation)| {
            let mut alert = json!({"name": "a", "window": window});
            for (field, value) in [dimension, value, above, deviation] {
                if let Some(value) = value {
                    alert[field] = value;
                }
            }
            alert
        })
}

fn any_processor() -> impl Strategy<Value = Value> {
    let keys = vec![
        "team",
        "loginpipeline.dev/a",
        "app.kubernetes.io/name",
        "app.kubernetes.io",
        "container.apparmor.security.beta.kubernetes.io/processor",
    ];
    let map =
        |keys: Vec<&str>| keys.into_iter().map(|key| (key.to_owned(), json!("a"))).collect::<serde_json::Map<_, _>>();
    (
        select(vec!["100ms", "9ms", "10ms", "5s", "5001ms"]),
        select(vec!["10m", "9s", "10500ms", "24h", "24h1s"]),
        subsequence(keys.clone(), 0..=2),
        subsequence(keys, 0..=2),
    )
        .prop_map(move |(interval, deadline, labels, annotations)| {
            json!({
                "commitInterval": interval, "progressDeadline": deadline,
                "podLabels": map(labels), "podAnnotations": map(annotations),
            })
        })
}

/// The rules that a pipeline breaks, by the evaluator of CEL.
fn broken_in_cel(schema: &CompiledSchema, name: &str, spec: &Value) -> Rules {
    let pipeline = json!({"metadata": {"name": name}, "spec": spec});
    let Err(errors) = Validator::new().validate_compiled(schema, &pipeline, None) else { return Rules::new() };
    let rule = |error: kube_cel::ValidationError| {
        assert_eq!(error.kind, kube_cel::ErrorKind::ValidationFailure, "{error}");
        let place = error
            .field_path
            .split(['[', ']'])
            .enumerate()
            .map(|(index, part)| if index % 2 == 0 { part } else { "[]" });
        (error.rule, place.collect())
    };
    errors.into_iter().map(rule).collect()
}

/// The rules that a pipeline breaks, by their Rust conditions.
fn broken_in_rust(name: &str, spec: &Value) -> Rules {
    let spec: LoginPipelineSpec = serde_json::from_value(spec.clone()).unwrap();
    broken_rules(&LoginPipeline::new(name, spec)).into_iter().map(|broken| ((broken.rule.0)(), broken.rule.1)).collect()
}

/// Every rule below a place that is not about a change.
fn rules_of(place: &str, schema: &Value, rules: &mut Rules) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let condition = rule["rule"].as_str().unwrap();
        if !condition.contains("oldSelf") {
            rules.insert((condition.to_owned(), place.to_owned()));
        }
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        rules_of(format!("{place}.{name}").trim_start_matches('.'), field, rules);
    }
    if let Some(items) = schema.get("items") {
        rules_of(&format!("{place}[]"), items, rules);
    }
}

#[test]
fn each_rule_says_the_same_in_cel_and_in_rust() {
    let definition = definition();
    let schema = compile_schema(&definition);
    let broken = std::cell::RefCell::new(Rules::new());
    let config = Config { cases: 512, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));

    runner
        .run(&any_pipeline(), |(name, spec)| {
            let in_cel = broken_in_cel(&schema, &name, &spec);
            prop_assert_eq!(&in_cel, &broken_in_rust(&name, &spec));
            broken.borrow_mut().extend(in_cel);
            Ok(())
        })
        .unwrap();

    let mut rules = Rules::new();
    rules_of("", &definition, &mut rules);
    assert!(rules.len() > 25, "{rules:?}");
    let kept: Vec<_> = rules.difference(&broken.into_inner()).cloned().collect();
    assert!(kept.is_empty(), "no pipeline broke {kept:#?}");
}

/// A keyword that nothing evaluates would be a rule that `operator validate` does not know.
#[test]
fn every_keyword_of_the_schema_is_evaluated() {
    const BY_SHAPE: [&str; 10] = [
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "pattern",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
    ];
    const BY_READING: [&str; 8] =
        ["additionalProperties", "enum", "format", "items", "nullable", "properties", "required", "type"];
    const OTHERS: [&str; 4] = ["default", "description", "x-kubernetes-int-or-string", "x-kubernetes-validations"];
    fn keywords(schema: &Value, found: &mut BTreeSet<String>) {
        found.extend(schema.as_object().into_iter().flatten().map(|(keyword, _)| keyword.clone()));
        schema["properties"].as_object().into_iter().flatten().for_each(|(_, field)| keywords(field, found));
        ["items", "additionalProperties"]
            .into_iter()
            .filter_map(|of| schema.get(of))
            .for_each(|of| keywords(of, found));
        if let Some(pattern) = schema["pattern"].as_str() {
            let is_known =
                super::super::duration::is_pattern(pattern) || crate::pipeline::pattern::words(pattern) != "characters";
            assert!(is_known, "{pattern} has no words");
        }
    }

    let mut found = BTreeSet::new();
    keywords(&SCHEMA, &mut found);
    let known: BTreeSet<String> =
        [&BY_SHAPE[..], &BY_READING, &OTHERS].concat().into_iter().map(str::to_owned).collect();
    let unknown: Vec<_> = found.difference(&known).collect();
    assert!(unknown.is_empty() && found.len() > 15, "{unknown:?}");
}

fn lines(name: &str, spec: Value) -> Vec<String> {
    check(name, &serde_json::from_value(spec).unwrap()).iter().map(ToString::to_string).collect()
}

#[test]
fn a_value_is_refused_once() {
    let alert = json!({"name": "a", "window": "1m", "deviation": 0});
    let spec = json!({"kafka": {"strimzi": {"cluster": "a"}}, "alerts": [alert]});
    assert_eq!(lines("logins", spec), [r#"spec.alerts[].deviation is 0 in "a": choose 0.1 to 1000, or leave it out"#]);
}

#[test]
fn a_problem_names_field_value_and_remedy() {
    let spec = json!({"kafka": {}, "aggregation": {"idleTimeout": "999ms"}});
    let name = "use 1 to 40 lower case letters, digits and hyphens, with a letter or digit at both ends";
    let kafka = "set exactly one of kafka.strimzi (a Kafka resource of the Strimzi operator) and kafka.external (bootstrap servers)";
    assert_eq!(
        lines("a.b", spec),
        [
            format!("metadata.name is \"a.b\": {name}"),
            "spec.aggregation.idleTimeout is 999ms: must be at least 1s".to_owned(),
            format!("spec.kafka is neither strimzi nor external: {kafka}"),
        ]
    );
}

/// NaN is written as null, which the structural schema passes.
#[test]
fn a_deviation_that_is_no_number_is_refused() {
    let alert = json!({"name": "a", "window": "1m", "deviation": 3});
    let mut spec: LoginPipelineSpec =
        serde_json::from_value(json!({"kafka": {"strimzi": {"cluster": "a"}}, "alerts": [alert]})).unwrap();
    spec.alerts[0].deviation = Some(f64::NAN);
    assert_eq!(check("logins", &spec)[0].field, "spec.alerts[].deviation");
}
