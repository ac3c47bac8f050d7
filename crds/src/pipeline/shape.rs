//! What the structural schema of the definition asks of a value: ranges, lengths, patterns, lists without repetition.
//! Types and enumerations are what reading the spec has judged already.

use serde_json::{Map, Value};

use super::{
    duration, pattern,
    problem::Problem,
    rule::{in_entry, quoted},
};

/// Everything in a value that its schema refuses. `field` is the value's path.
pub fn problems(field: &str, schema: &Value, value: &Value) -> Vec<Problem> {
    let mut walk = Walk::default();
    walk.value(&Place { field: field.to_owned(), ..Place::default() }, schema, value);
    walk.problems
}

#[derive(Default)]
struct Walk {
    problems: Vec<Problem>,
}

/// Where a value stands.
#[derive(Clone, Default)]
struct Place {
    field: String,
    /// The key of the entry of a list that the value is in.
    entry: Option<String>,
    /// The field may be absent, and has no default that the schema knows.
    is_optional: bool,
}

impl Place {
    fn field(&self, schema: &Value, name: &str) -> Self {
        let is_required = schema["required"].as_array().into_iter().flatten().any(|field| field == name);
        let is_optional = !is_required && schema["properties"][name].get("default").is_none();
        Self { field: format!("{}.{name}", self.field), entry: self.entry.clone(), is_optional }
    }

    fn item(&self, entry: Option<String>) -> Self {
        Self { field: format!("{}[]", self.field), entry: entry.or_else(|| self.entry.clone()), is_optional: false }
    }
}

impl Walk {
    fn refuse(&mut self, place: &Place, value: &str, remedy: String) {
        // The key itself needs no other name.
        let entry = place.entry.as_ref().filter(|entry| *entry != value);
        let value = entry.map_or_else(|| value.to_owned(), |entry| in_entry(value, entry));
        self.problems.push(Problem { field: place.field.clone(), value, remedy });
    }

    fn value(&mut self, place: &Place, schema: &Value, value: &Value) {
        match value {
            Value::Number(number) => {
                let shown = text(schema, value);
                self.number(place, schema, number.as_f64().unwrap_or(f64::NAN), &shown);
            }
            Value::String(string) => self.string(place, schema, string),
            Value::Array(items) => self.list(place, schema, items),
            Value::Object(members) => self.object(place, schema, members),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn number(&mut self, place: &Place, schema: &Value, number: f64, shown: &str) {
        let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
            let range = match (least, most) {
                (Some(least), Some(most)) => format!("{least} to {most}"),
                (Some(least), None) => format!("at least {least}"),
                (None, most) => format!("at most {}", most.unwrap_or_default()),
            };
            self.refuse(place, shown, or_leave_out(place, &format!("choose {range}")));
        }
    }

    fn string(&mut self, place: &Place, schema: &Value, string: &str) {
        let (least, most) = limits(schema, "minLength", "maxLength");
        let length = string.chars().count() as u64;
        // A duration was read, and is written in its own form.
        let form = schema["pattern"].as_str().filter(|form| !duration::is_pattern(form));
        if !(least..=most).contains(&length) || form.is_some_and(|form| !pattern::fits(form, string)) {
            let words = form.map_or("characters", pattern::words);
            self.refuse(place, &quoted(string), or_leave_out(place, &format!("write {least} to {most} {words}")));
        }
    }

    fn list(&mut self, place: &Place, schema: &Value, items: &[Value]) {
        let (least, most) = limits(schema, "minItems", "maxItems");
        let length = items.len() as u64;
        if length > most {
            self.refuse(place, &format!("{length} entries"), format!("use at most {most}"));
        } else if length < least {
            self.refuse(
                place,
                if length == 0 { "empty" } else { "too short" },
                format!("use {least} to {most} entries"),
            );
        }
        let (list_type, key) =
            (schema["x-kubernetes-list-type"].as_str(), schema["x-kubernetes-list-map-keys"][0].as_str());
        for (index, item) in items.iter().enumerate() {
            let before = &items[..index];
            let entry = key.map(|key| quoted(item[key].as_str().unwrap_or_default()));
            if list_type == Some("set") && before.contains(item) {
                self.refuse(place, &text(&schema["items"], item), "name each once".to_owned());
            }
            if let (Some(key), Some(entry)) = (key, &entry)
                && before.iter().any(|other| other[key] == item[key])
            {
                let named = Place { field: format!("{}[].{key}", place.field), ..Place::default() };
                self.refuse(&named, entry, format!("give each entry a {key} of its own"));
            }
            self.value(&place.item(entry), &schema["items"], item);
        }
    }

    fn object(&mut self, place: &Place, schema: &Value, members: &Map<String, Value>) {
        let (_, most) = limits(schema, "minProperties", "maxProperties");
        if members.len() as u64 > most {
            self.refuse(place, &format!("{} keys", members.len()), format!("use at most {most}"));
        }
        for (name, value) in members {
            self.value(&place.field(schema, name), &schema["properties"][name], value);
        }
    }
}

fn limits(schema: &Value, least: &str, most: &str) -> (u64, u64) {
    (schema[least].as_u64().unwrap_or(0), schema[most].as_u64().unwrap_or(u64::MAX))
}

fn or_leave_out(place: &Place, remedy: &str) -> String {
    if place.is_optional { format!("{remedy}, or leave it out") } else { remedy.to_owned() }
}

/// A scalar, as messages show it: in quotes where it is any text.
fn text(schema: &Value, value: &Value) -> String {
    let is_word = schema.get("enum").is_some() || schema["pattern"].as_str().is_some_and(duration::is_pattern);
    match value {
        Value::String(text) if is_word => text.clone(),
        Value::Number(number) => number.as_i64().map_or_else(
            || number.as_f64().map_or_else(|| number.to_string(), |number| number.to_string()),
            |number| number.to_string(),
        ),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(schema: &Value, value: &Value) -> Vec<String> {
        problems("x", schema, value).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_number_lies_in_its_range() {
        let schema = json!({"minimum": 0.1, "maximum": 1000});
        assert_eq!(lines(&schema, &json!(0)), ["x is 0: choose 0.1 to 1000"]);
        assert_eq!(lines(&schema, &json!(1000.5)), ["x is 1000.5: choose 0.1 to 1000"]);
        assert!(lines(&schema, &json!(0.1)).is_empty());
        assert_eq!(lines(&json!({"maximum": 1_000_000_000_000_i64}), &json!(1e13)).len(), 1);
    }

    #[test]
    fn a_text_has_its_length_in_characters_and_its_form() {
        let schema = json!({"minLength": 1, "maxLength": 3});
        assert!(lines(&schema, &json!("äää")).is_empty());
        assert_eq!(lines(&schema, &json!("")), ["x is \"\": write 1 to 3 characters"]);
        let schema = json!({"minLength": 1, "maxLength": 3, "pattern": pattern::LISTENER});
        assert_eq!(lines(&schema, &json!("A")), ["x is \"A\": write 1 to 3 lower case letters and digits"]);
    }

    #[test]
    fn what_may_be_absent_may_be_left_out() {
        let field = json!({"minimum": 1, "maximum": 2});
        let schema = json!({"required": ["a"], "properties": {"a": field, "b": field}});
        let found = lines(&schema, &json!({"a": 0, "b": 0}));
        assert_eq!(found, ["x.a is 0: choose 1 to 2", "x.b is 0: choose 1 to 2, or leave it out"]);
    }

    #[test]
    fn a_list_has_its_length_and_repeats_nothing() {
        let schema = json!({"minItems": 1, "maxItems": 2, "x-kubernetes-list-type": "set", "items": {"enum": ["a"]}});
        assert_eq!(lines(&schema, &json!(["a", "a"])), ["x is a: name each once"]);
        assert_eq!(lines(&schema, &json!([])), ["x is empty: use 1 to 2 entries"]);
        assert_eq!(lines(&schema, &json!(["a", "b", "c"])), ["x is 3 entries: use at most 2"]);
    }

    #[test]
    fn an_entry_is_known_by_its_key() {
        let item = json!({"properties": {"name": {}, "n": {"maximum": 1}}, "required": ["n"]});
        let schema = json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": item});
        let found = lines(&schema, &json!([{"name": "a", "n": 2}, {"name": "a", "n": 1}]));
        assert_eq!(
            found,
            ["x[].n is 2 in \"a\": choose at most 1", "x[].name is \"a\": give each entry a name of its own"]
        );
    }

    #[test]
    fn a_map_has_its_number_of_keys() {
        assert_eq!(lines(&json!({"maxProperties": 1}), &json!({"a": 1, "b": 2})), ["x is 2 keys: use at most 1"]);
    }
}
