//! Whether an apply would change nothing in an object, so that none is sent. Pure.
//!
//! The API server records in `managedFields` which manager applied which fields. A field that another manager has changed
//! since is no longer ours there; a field that we no longer want still is. So an apply changes nothing exactly where the
//! fields that we own, with their values, are the desired ones.
//!
//! Defaults that the API server fills in have no owner, except inside a list or a reference that is owned as a whole. There
//! the builders name the defaults; where one does not, an apply is sent on each pass, and changes nothing.

use std::collections::BTreeMap;

use kube::Resource;
use serde::Serialize;
use serde_json::{Map, Value};

/// Whether an apply of `desired` by this field manager would leave `existing` as it is.
#[must_use]
pub fn is_applied<K: Resource + Serialize>(desired: &K, existing: &K, manager: &str) -> bool {
    let (Ok(desired), Ok(live)) = (serde_json::to_value(desired), serde_json::to_value(existing)) else {
        return false;
    };
    let mut entries = existing.meta().managed_fields.iter().flatten();
    let ours = entries.find(|entry| {
        let (by, how) = (entry.manager.as_deref(), entry.operation.as_deref());
        by == Some(manager) && how == Some("Apply") && entry.subresource.is_none()
    });
    let Some(fields) = ours.and_then(|entry| entry.fields_v1.as_ref()) else { return false };
    is_same(&without_identity(desired), &part(&fields.0, &live))
}

/// An object without the fields that name it, which belong to no field manager.
fn without_identity(mut object: Value) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.retain(|key, _| !matches!(key.as_str(), "apiVersion" | "kind"));
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !matches!(key.as_str(), "name" | "namespace" | "uid"));
    }
    object
}

/// The part of a value that these fields name, in Kubernetes' notation: `f:` a member, `k:` the element of a list with
/// these keys, `v:` the element with this value, `.` the thing itself. Without any of them it is the whole value.
fn part(fields: &Value, live: &Value) -> Value {
    let names = fields.as_object().filter(|names| !names.is_empty());
    match (names, live) {
        (None, whole) => whole.clone(),
        (Some(names), Value::Array(items)) => items.iter().filter_map(|item| element(names, item)).collect(),
        (Some(names), live) => {
            let member = |(name, fields): (&String, &Value)| {
                let name = name.strip_prefix("f:")?;
                // An owned field may be missing: the API server does not always keep empty values.
                Some((name.to_owned(), live.get(name).map_or(Value::Null, |live| part(fields, live))))
            };
            Value::Object(names.iter().filter_map(member).collect())
        }
    }
}

/// The part of a list's element that is named, if it is.
fn element(names: &Map<String, Value>, item: &Value) -> Option<Value> {
    names.iter().find_map(|(name, fields)| {
        let (how, what) = name.split_once(':')?;
        let what: Value = serde_json::from_str(what).ok()?;
        let is_meant = match how {
            "k" => what.as_object()?.iter().all(|(key, value)| item.get(key) == Some(value)),
            "v" => *item == what,
            _ => false,
        };
        is_meant.then(|| part(fields, item))
    })
}

/// Whether what is wanted is what is ours.
fn is_same(wanted: &Value, ours: &Value) -> bool {
    match (wanted, ours) {
        (Value::Object(wanted), Value::Object(ours)) => {
            let is_member_same = |key: &String| match (wanted.get(key), ours.get(key)) {
                (Some(wanted), Some(Value::Null)) => is_empty(wanted),
                (Some(wanted), Some(ours)) if matches!(key.as_str(), "limits" | "requests") => {
                    are_same_quantities(wanted, ours)
                }
                (Some(wanted), Some(ours)) => is_same(wanted, ours),
                (Some(wanted), None) => wanted.is_null(),
                _ => false,
            };
            wanted.keys().chain(ours.keys()).all(is_member_same)
        }
        (Value::Array(wanted), Value::Array(ours)) => {
            wanted.len() == ours.len() && wanted.iter().zip(ours).all(|(wanted, ours)| is_same(wanted, ours))
        }
        (wanted, ours) => wanted == ours,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// Quantities by name. The API server writes each in its shortest form.
fn are_same_quantities(one: &Value, other: &Value) -> bool {
    let read = |quantities: &Value| -> Option<BTreeMap<String, i128>> {
        let quantities = quantities.as_object()?.iter();
        quantities.map(|(name, quantity)| Some((name.clone(), nano(quantity.as_str()?)?))).collect()
    };
    is_same(one, other) || read(one).is_some_and(|one| Some(one) == read(other))
}

/// A quantity in billionths, which is as finely as the API server reads it: what lies between is rounded up. None for what
/// is no quantity, or larger than any.
fn nano(quantity: &str) -> Option<i128> {
    let end = quantity.find(|letter: char| !matches!(letter, '0'..='9' | '.' | '+' | '-')).unwrap_or(quantity.len());
    let (number, unit) = quantity.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let (base, exponent) = match unit {
        "n" => (10, -9),
        "u" => (10, -6),
        "m" => (10, -3),
        "" => (10, 0),
        "k" => (10, 3),
        "M" => (10, 6),
        "G" => (10, 9),
        "T" => (10, 12),
        "P" => (10, 15),
        "E" => (10, 18),
        "Ki" => (1024, 1),
        "Mi" => (1024, 2),
        "Gi" => (1024, 3),
        "Ti" => (1024, 4),
        "Pi" => (1024, 5),
        "Ei" => (1024, 6),
        exponent => (10, exponent.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?),
    };
    let (tens, binary) = if base == 10 { (exponent, 0) } else { (0, u32::try_from(exponent).ok()?) };
    let tens = tens.checked_add(9)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let digits = digits.checked_mul(1024_i128.checked_pow(binary)?)?;
    let power = 10_i128.checked_pow(tens.unsigned_abs())?;
    if tens >= 0 {
        digits.checked_mul(power)
    } else {
        Some(digits.div_euclid(power) + i128::from(digits.rem_euclid(power) != 0))
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::Deployment;
    use serde_json::json;

    use super::*;

    const MANAGER: &str = "us";

    fn desired() -> Value {
        json!({
            "metadata": {"name": "a", "namespace": "b", "labels": {"x": "1"}, "ownerReferences": [
                {"apiVersion": "v1", "kind": "Owner", "name": "owner", "uid": "7", "controller": true},
            ]},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"x": "1"}},
                "template": {"metadata": {"labels": {"x": "1"}}, "spec": {"containers": [{
                    "name": "main", "image": "image", "args": ["run", "fast"],
                    "ports": [{"name": "http", "containerPort": 80}],
                    "resources": {"limits": {"cpu": "1000m", "memory": "0.5Gi"}},
                    "securityContext": {"capabilities": {"drop": ["ALL"]}},
                }]}},
            },
        })
    }

    /// What an API server makes of it, defaults and all.
    fn live() -> Value {
        let mut live = desired();
        live["metadata"]["uid"] = "9".into();
        live["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": "1"});
        live["spec"]["progressDeadlineSeconds"] = 600.into();
        let container = &mut live["spec"]["template"]["spec"]["containers"][0];
        container["imagePullPolicy"] = "IfNotPresent".into();
        container["ports"][0]["protocol"] = "TCP".into();
        container["resources"]["limits"] = json!({"cpu": "1", "memory": "512Mi"});
        live["metadata"]["managedFields"] = json!([
            {"manager": "controller", "operation": "Update", "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": {}},
            {"manager": MANAGER, "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": {
                "f:metadata": {
                    "f:labels": {"f:x": {}},
                    "f:ownerReferences": {"k:{\"uid\":\"7\"}": {}},
                },
                "f:spec": {
                    "f:replicas": {}, "f:selector": {},
                    "f:template": {
                        "f:metadata": {"f:labels": {"f:x": {}}},
                        "f:spec": {"f:containers": {"k:{\"name\":\"main\"}": {
                            ".": {}, "f:name": {}, "f:image": {}, "f:args": {},
                            "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}, "f:containerPort": {}}},
                            "f:resources": {"f:limits": {"f:cpu": {}, "f:memory": {}}},
                            "f:securityContext": {"f:capabilities": {"f:drop": {}}},
                        }}},
                    },
                },
            }},
        ]);
        live
    }

    fn judge(desired: Value, live: Value) -> bool {
        let read = |value| serde_json::from_value::<Deployment>(value).unwrap();
        is_applied(&read(desired), &read(live), MANAGER)
    }

    fn wanted(change: impl Fn(&mut Value)) -> bool {
        let mut desired = desired();
        change(&mut desired);
        judge(desired, live())
    }

    fn found(change: impl Fn(&mut Value)) -> bool {
        let mut live = live();
        change(&mut live);
        judge(desired(), live)
    }

    #[test]
    fn what_is_applied_is_left_alone_whatever_others_add() {
        assert!(judge(desired(), live()));

        // The API server has taken note of it, and dropped it.
        let affinity = |noted: bool| {
            let (mut desired, mut live) = (desired(), live());
            desired["spec"]["template"]["spec"]["affinity"] = json!({});
            let fields = &mut live["metadata"]["managedFields"][1]["fieldsV1"];
            if noted {
                fields["f:spec"]["f:template"]["f:spec"]["f:affinity"] = json!({});
            }
            judge(desired, live)
        };
        assert!(affinity(true) && !affinity(false));

        assert!(found(|live| live["metadata"]["labels"]["theirs"] = "1".into()));
        assert!(found(|live| {
            let containers = live["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap();
            containers.insert(0, json!({"name": "sidecar", "image": "theirs"}));
        }));
    }

    #[test]
    fn a_field_that_is_other_new_or_no_longer_wanted_is_applied() {
        assert!(!wanted(|desired| desired["spec"]["replicas"] = 3.into()));
        assert!(!wanted(|desired| desired["metadata"]["labels"]["new"] = "1".into()));
        assert!(!wanted(|desired| desired["metadata"]["labels"] = Value::Null));
        assert!(!wanted(|desired| desired["metadata"]["ownerReferences"] = json!([])));

        for (field, value) in [
            ("image", json!("other")),
            ("args", json!(["run"])),
            ("args", json!(["fast", "run"])),
            ("ports", json!([{"name": "http", "containerPort": 81}])),
            ("ports", Value::Null),
            ("resources", json!({"limits": {"cpu": "1001m", "memory": "0.5Gi"}})),
            ("resources", json!({"limits": {"cpu": "1"}})),
            ("securityContext", json!({"capabilities": {"drop": []}})),
        ] {
            let change = |desired: &mut Value| {
                desired["spec"]["template"]["spec"]["containers"][0][field].clone_from(&value);
            };
            assert!(!wanted(change), "{field} {value}");
        }
    }

    #[test]
    fn a_field_that_somebody_else_took_is_applied() {
        let taken = |path: &str, name: &str| {
            found(|live| {
                let fields = live["metadata"]["managedFields"][1]["fieldsV1"].pointer_mut(path).unwrap();
                fields.as_object_mut().unwrap().remove(name).unwrap();
            })
        };
        assert!(!taken("/f:spec", "f:replicas"));
        assert!(!taken("/f:metadata", "f:labels"));
        assert!(!taken("/f:metadata", "f:ownerReferences"));
        assert!(!found(|live| live["metadata"]["managedFields"] = json!([])));
        assert!(!found(|live| live["metadata"]["managedFields"][1]["operation"] = "Update".into()));
        assert!(!found(|live| live["metadata"]["managedFields"][1]["subresource"] = "status".into()));
    }

    #[test]
    fn quantities_are_read_as_the_api_server_reads_them() {
        let same = [
            ("1", "1000m"),
            ("0.5Gi", "512Mi"),
            ("1.5", "1500m"),
            ("1e3", "1k"),
            ("1E3", "1000"),
            ("1E", "1e18"),
            ("0.1n", "1n"),
            ("2Ki", "2048"),
            (".5", "500m"),
            ("5.", "5"),
            ("-1", "-1000m"),
            ("+1", "1"),
            ("1u", "1000n"),
            ("1024Mi", "1Gi"),
        ];

        for (one, other) in same {
            assert_eq!(nano(one), nano(other), "{one} {other}");
            assert!(nano(one).is_some(), "{one}");
        }

        assert_ne!(nano("1M"), nano("1Mi"));
        assert_ne!(nano("1m"), nano("1M"));
        for odd in ["", "x", "1x", "1.2.3", "e3", "1e99999999999", "1e999", "9999999999999999999999999999Ei"] {
            assert_eq!(nano(odd), None, "{odd}");
        }
    }
}
