//! Commands made from the document's own schemas: as they should be, at their bounds, and with faults.

use proptest::{prelude::*, sample::Index, string::string_regex};
use serde_json::{Map, Value, json};

use crate::document::{DOCUMENT, resolve};

/// Any JSON without numbers that JSON itself cannot tell apart: to a schema, but not to us, 1.0 is an integer.
pub(crate) fn any_json() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_filter("a whole number", |number| number.fract() != 0.0).prop_map(Into::into),
        ".{0,20}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map("[a-z]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
    .boxed()
}

/// A text as the pattern says; lengths are up to chance.
fn patterned(pattern: &str) -> BoxedStrategy<String> {
    let inner = pattern.trim_start_matches('^').trim_end_matches('$');
    string_regex(inner).unwrap_or_else(|error| panic!("{pattern}: {error}")).boxed()
}

/// The text made as long as this by repeating it or cutting it off.
fn of_length(text: &str, chars: usize) -> String {
    text.chars().cycle().take(chars).collect()
}

/// Mostly what the schema allows.
fn good(schema: &'static Value) -> BoxedStrategy<Value> {
    let (_, schema) = resolve("", schema);
    for union in ["anyOf", "allOf"] {
        if let Some(members) = schema[union].as_array() {
            let members: Vec<_> = members.iter().map(good).collect();
            return prop::strategy::Union::new(members).boxed();
        }
    }
    if let Some(value) = schema.get("const") {
        return Just(value.clone()).boxed();
    }
    if let Some(values) = schema["enum"].as_array() {
        return prop::sample::select(values.clone()).boxed();
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind {
        Some("string") => {
            let pattern = schema["pattern"].as_str().unwrap_or(".*");
            patterned(pattern).prop_map(Into::into).boxed()
        }
        Some("integer") => {
            let (least, most) = (schema["minimum"].as_u64().unwrap(), schema["maximum"].as_u64().unwrap());
            prop_oneof![Just(least), least..=least + 1_000, least..=most, Just(most)]
                .prop_map(Into::into)
                .boxed()
        }
        Some("boolean") => any::<bool>().prop_map(Into::into).boxed(),
        Some("null") => Just(Value::Null).boxed(),
        Some("array") => prop::collection::vec(good(&schema["items"]), 0..5).prop_map(Into::into).boxed(),
        None => any_json(),
        Some(other) => panic!("commands have no {other} so far: teach this generator to make one"),
    }
}

/// Values at both sides of the schema's bounds.
fn edge(schema: &'static Value) -> BoxedStrategy<Value> {
    let (_, schema) = resolve("", schema);
    let mut edges: Vec<BoxedStrategy<Value>> = Vec::new();
    for union in ["anyOf", "allOf"] {
        edges.extend(schema[union].as_array().into_iter().flatten().map(edge));
    }
    let number = |bound: &Value, by: i128| {
        bound
            .as_u64()
            .map(|bound| serde_json::from_str::<Value>(&(i128::from(bound) + by).to_string()).unwrap())
    };
    for bound in ["minimum", "maximum"] {
        edges.extend([-1, 0, 1].iter().filter_map(|by| number(&schema[bound], *by)).map(|v| Just(v).boxed()));
    }
    let lengths = ["minLength", "maxLength", "x-max-bytes"]
        .into_iter()
        .filter_map(|bound| schema[bound].as_u64())
        .flat_map(|bound| [bound.saturating_sub(1), bound, bound + 1]);
    for length in lengths {
        let length = usize::try_from(length).unwrap();
        let texts = schema["pattern"].as_str().map_or_else(|| ".+".prop_map(|text| text).boxed(), patterned);
        edges.push(texts.prop_map(move |text| of_length(&text, length).into()).boxed());
    }
    if let Some(most) = schema["maxItems"].as_u64() {
        let most = usize::try_from(most).unwrap();
        let items = good(&schema["items"]);
        edges.push((items, most - 1..=most + 1).prop_map(|(item, count)| vec![item; count].into()).boxed());
    }
    for bound in ["x-max-json-bytes", "x-max-json-characters"] {
        if let Some(most) = schema[bound].as_u64() {
            let most = usize::try_from(most).unwrap();
            let texts = ("[aé👍]", most / 4 - 4..=most);
            edges.push(texts.prop_map(|(text, chars)| of_length(&text, chars).into()).boxed());
            edges.push((most - 3..=most - 1).prop_map(|chars| "x".repeat(chars).into()).boxed());
        }
    }
    if edges.is_empty() { any_json() } else { prop::strategy::Union::new(edges).boxed() }
}

/// Texts that are almost what several schemas ask for.
const ALMOST: &[&str] = &[
    "",
    " ",
    "\n",
    "\0",
    "a\0",
    "\u{85}",
    "\u{a0}",
    "\u{2028}x",
    "\u{feff}",
    "two words",
    "!x",
    "r\n",
    "é",
    "e.",
    ".1",
    "e.0",
    "e.01",
    "e.+1",
    "e.-1",
    "e.1 ",
    " e.1",
    "e.9007199254740991",
    "e.9007199254740992",
    "e.10000000000000000",
    "a.b.1",
    "1.a.b",
    "+1.r",
    "01.r",
    "0.r",
    "18446744073709551615.r",
    "18446744073709551616.r",
    "1.",
    "1.two words",
    "7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
    "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
    "0000000000000000000000000",
    "0000000000000000000000000I",
    "0000000000000000000000000u",
    "0000000000000000000000000z",
    "ADD",
    "add",
    "remove",
    "log",
    "timeline",
    "Timeline",
];

#[derive(Debug, Clone)]
enum Fault {
    Remove,
    Set(Value),
    /// Puts a character into a text or takes one away.
    Touch(Index, Option<char>),
    Unknown(String, Value),
}

fn fault(schema: &'static Value) -> BoxedStrategy<Fault> {
    let character =
        prop_oneof![prop::sample::select(vec!['.', ' ', '\n', '0', 'Z', 'é', '\0', '{']), any::<char>()];
    prop_oneof![
        2 => Just(Fault::Remove),
        2 => Just(Fault::Set(Value::Null)),
        4 => edge(schema).prop_map(Fault::Set),
        3 => prop::sample::select(ALMOST).prop_map(|text| Fault::Set(json!(text))),
        2 => any_json().prop_map(Fault::Set),
        3 => (any::<Index>(), prop::option::of(character)).prop_map(|(at, with)| Fault::Touch(at, with)),
        1 => ("[a-zA-Z]{1,6}", any_json()).prop_map(|(name, value)| Fault::Unknown(name, value)),
    ]
    .boxed()
}

fn apply(command: &mut Map<String, Value>, field: &str, fault: Fault) {
    match fault {
        Fault::Remove => drop(command.remove(field)),
        Fault::Set(value) => drop(command.insert(field.to_owned(), value)),
        Fault::Touch(at, with) => {
            let Some(text) = command.get(field).and_then(Value::as_str) else { return };
            let mut chars: Vec<char> = text.chars().collect();
            match with {
                Some(with) => chars.insert(at.index(chars.len() + 1), with),
                None if chars.is_empty() => {}
                None => drop(chars.remove(at.index(chars.len()))),
            }
            command.insert(field.to_owned(), chars.into_iter().collect::<String>().into());
        }
        // Not by chance a field that the command has.
        Fault::Unknown(name, value) => drop(command.insert(format!("x{name}"), value)),
    }
}

/// Commands of this message, right or with up to two faults. The type stays: without it there is no message to ask.
pub(crate) fn commands(message: &str) -> BoxedStrategy<Value> {
    let payload = &DOCUMENT["components"]["messages"][message]["payload"];
    let required: Vec<&str> =
        payload["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let mut whole = Just(Map::new()).boxed();
    let mut faults = Vec::new();
    for (field, schema) in payload["properties"].as_object().unwrap() {
        let value = if required.contains(&field.as_str()) {
            good(schema).prop_map(Some).boxed()
        } else {
            prop::option::of(good(schema)).boxed()
        };
        whole = (whole, value)
            .prop_map(move |(mut command, value)| {
                command.extend(value.map(|value| (field.clone(), value)));
                command
            })
            .boxed();
        if field != "type" {
            faults.push(fault(schema).prop_map(move |fault| (field.as_str(), fault)).boxed());
        }
    }
    let faults = prop::collection::vec(prop::strategy::Union::new(faults), 0..3);
    (whole, faults)
        .prop_map(|(mut command, faults)| {
            faults.into_iter().for_each(|(field, fault)| apply(&mut command, field, fault));
            Value::Object(command)
        })
        .boxed()
}
