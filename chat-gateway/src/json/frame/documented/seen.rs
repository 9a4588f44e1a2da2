//! What of the document's schemas was seen in frames.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::document::resolve;

/// By the place of a schema in the document.
#[derive(Debug, Default)]
pub(super) struct Seen {
    schemas: BTreeMap<String, One>,
}

#[derive(Debug)]
struct One {
    schema: Value,
    present: BTreeSet<String>,
    absent: BTreeSet<String>,
    values: Vec<Value>,
}

fn names(schema: &Value) -> impl Iterator<Item = &String> {
    schema["properties"].as_object().into_iter().flat_map(serde_json::Map::keys)
}

impl Seen {
    /// Notes what `value` shows of its schema.
    pub(super) fn visit(&mut self, place: &str, schema: &Value, value: &Value) {
        let (place, schema) = resolve(place, schema);
        let one = self.schemas.entry(place.clone()).or_insert_with(|| One {
            schema: schema.clone(),
            present: BTreeSet::new(),
            absent: BTreeSet::new(),
            values: Vec::new(),
        });
        if schema.get("enum").is_some() && !one.values.contains(value) {
            one.values.push(value.clone());
        }
        for name in names(schema) {
            let side = if value.get(name).is_some() { &mut one.present } else { &mut one.absent };
            side.insert(name.clone());
        }
        for (number, member) in schema["allOf"].as_array().into_iter().flatten().enumerate() {
            self.visit(&format!("{place}/allOf/{number}"), member, value);
        }
        for name in names(schema) {
            if let Some(inner) = value.get(name) {
                self.visit(&format!("{place}/properties/{name}"), &schema["properties"][name], inner);
            }
        }
        if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
            values.iter().for_each(|item| self.visit(&format!("{place}/items"), items, item));
        }
    }

    /// What the schemas name and no frame had; optional fields that no frame left out.
    pub(super) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (place, one) in &self.schemas {
            let required = one.schema["required"].as_array().cloned().unwrap_or_default();
            for name in names(&one.schema) {
                if !one.present.contains(name) {
                    missing.push(format!("{place}: `{name}`"));
                }
                if !required.contains(&Value::from(name.as_str())) && !one.absent.contains(name) {
                    missing.push(format!("{place} without `{name}`"));
                }
            }
            for value in one.schema["enum"].as_array().into_iter().flatten() {
                if !one.values.contains(value) {
                    missing.push(format!("{place}: the value {value}"));
                }
            }
        }
        missing
    }
}
