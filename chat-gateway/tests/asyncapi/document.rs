//! The AsyncAPI document, ready to be held against what the code says. The frames' own tests read it too.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use jsonschema::{Keyword, ValidationError, Validator};
use serde_json::{Map, Value, json};

static TEXT: &str = include_str!("../../asyncapi.json");

/// The document as it is.
pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(TEXT).unwrap());

/// Clients must bear fields they do not know, so the document allows more of them. What we send has none that it does not name.
static CLOSED: LazyLock<Value> = LazyLock::new(|| {
    let mut document = DOCUMENT.clone();
    close(&mut document);
    document
});

fn close(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("additionalProperties") == Some(&Value::Bool(true)) {
                fields["additionalProperties"] = Value::Bool(false);
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(values) => values.iter_mut().for_each(close),
        _ => {}
    }
}

/// A bound of the document's own: how long a value may be, measured in some way.
struct Longest {
    most: usize,
    measure: fn(&Value) -> usize,
}

impl Longest {
    fn keyword(bound: &Value, measure: fn(&Value) -> usize) -> Box<dyn for<'i> Keyword<'i>> {
        let most = bound.as_u64().and_then(|bound| usize::try_from(bound).ok()).expect("a bound is a number");
        Box::new(Self { most, measure })
    }
}

impl<'i> Keyword<'i> for Longest {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if (self.measure)(instance) > self.most {
            return Err(ValidationError::custom(format!("longer than {}", self.most)));
        }
        Ok(())
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        (self.measure)(instance) <= self.most
    }
}

fn bytes(value: &Value) -> usize {
    value.as_str().map_or(0, str::len)
}

fn json_bytes(value: &Value) -> usize {
    value.to_string().len()
}

fn json_characters(value: &Value) -> usize {
    value.to_string().chars().count()
}

fn build(document: &Value, reference: &str) -> Validator {
    let mut schema = Map::new();
    schema.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
    schema.insert("allOf".into(), json!([{ "$ref": reference }]));
    schema.insert("components".into(), document["components"].clone());
    jsonschema::options()
        .with_keyword("x-max-bytes", |_, bound, _| Ok(Longest::keyword(bound, bytes)))
        .with_keyword("x-max-json-bytes", |_, bound, _| Ok(Longest::keyword(bound, json_bytes)))
        .with_keyword("x-max-json-characters", |_, bound, _| Ok(Longest::keyword(bound, json_characters)))
        .build(&Value::Object(schema))
        .unwrap_or_else(|error| panic!("{reference}: {error}"))
}

/// A validator of one schema of the document.
pub(crate) fn schema(name: &str) -> Validator {
    build(&DOCUMENT, &format!("#/components/schemas/{name}"))
}

/// A validator of what stands at a place of the document, given by its pointer.
pub(crate) fn schema_at(pointer: &str) -> Validator {
    let mut document = DOCUMENT.clone();
    let schema = document.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is gone")).clone();
    document["components"]["schemas"]["ThisOne"] = schema;
    build(&document, "#/components/schemas/ThisOne")
}

/// The names of the messages of a channel.
pub(crate) fn channel(name: &str) -> BTreeSet<&'static str> {
    let all = DOCUMENT["channels"][name]["messages"].as_object().unwrap();
    all.keys().map(String::as_str).collect()
}

/// The names of all messages of one side: `Command` or `Frame`.
pub(crate) fn messages(side: &str) -> Vec<String> {
    let all = DOCUMENT["components"]["messages"].as_object().unwrap();
    all.keys().filter(|name| name.ends_with(side)).cloned().collect()
}

/// Validators of all messages of one side, by name: as the document says, or without fields that it does not name.
pub(crate) fn validators(side: &str, closed: bool) -> BTreeMap<String, Validator> {
    let document = if closed { &*CLOSED } else { &*DOCUMENT };
    let of = |name: &String| build(document, &format!("#/components/messages/{name}/payload"));
    messages(side).iter().map(|name| (name.clone(), of(name))).collect()
}

/// The messages that a frame is one of.
pub(crate) fn fitting<'a>(validators: &'a BTreeMap<String, Validator>, frame: &Value) -> Vec<&'a str> {
    let fits = validators.iter().filter(|(_, validator)| validator.is_valid(frame));
    fits.map(|(name, _)| name.as_str()).collect()
}

/// Follows references to the schema itself; answers its place too.
pub(crate) fn resolve<'a>(place: &str, schema: &'a Value) -> (String, &'a Value) {
    let Some(reference) = schema["$ref"].as_str() else { return (place.to_owned(), schema) };
    let pointer = reference.strip_prefix('#').unwrap();
    (pointer.to_owned(), DOCUMENT.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere")))
}
