use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;

use super::*;
use crate::problem::CODES;

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
const RENEW: &str = "CHAT_RENEW_OPENAPI";

fn json() -> Value {
    serde_json::to_value(openapi("")).unwrap()
}

/// What is meant by a part of the document, which may be a reference.
fn resolve<'a>(document: &'a Value, part: &'a Value) -> &'a Value {
    match part["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap(),
        None => part,
    }
}

/// Every object of the document, from the outside in.
fn walk<'a>(value: &'a Value, visit: &mut impl FnMut(&'a serde_json::Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            visit(object);
            object.values().for_each(|value| walk(value, visit));
        }
        Value::Array(values) => values.iter().for_each(|value| walk(value, visit)),
        _ => {}
    }
}

/// Path, method and operation of everything described.
fn operations(document: &Value) -> BTreeMap<(String, String), Value> {
    let methods = |(path, item): (&String, &Value)| {
        let path = path.clone();
        let item = item.as_object().unwrap().clone();
        item.into_iter().map(move |(method, operation)| ((path.clone(), method), operation))
    };
    document["paths"].as_object().unwrap().iter().flat_map(methods).collect()
}

#[test]
fn the_committed_document_is_the_generated_one() {
    let mut generated = serde_json::to_string_pretty(&openapi("")).unwrap();
    generated.push('\n');
    if std::env::var_os(RENEW).is_some() {
        fs::write(COMMITTED, &generated).unwrap();
    }
    let committed = fs::read_to_string(COMMITTED).unwrap_or_default();
    let first = committed.lines().zip(generated.lines()).position(|(old, new)| old != new);
    assert!(
        committed == generated,
        "chat-gateway/openapi.json is not what the program says (line {}). Renew and read what changed:\n  \
         {RENEW}=1 cargo test -p chat-gateway --all-features --lib the_committed_document",
        first.map_or(0, |line| line + 1),
    );
}

#[test]
fn every_route_is_described_and_every_described_one_is_a_route() {
    let described: BTreeSet<_> = operations(&json()).into_keys().collect();
    let routes: Vec<_> =
        rest::ROUTES.iter().map(|(path, method)| ((*path).to_owned(), (*method).to_owned())).collect();
    assert_eq!(described, routes.iter().cloned().collect());
    assert_eq!(routes.len(), described.len(), "a route stands twice in the table");
}

/// The table makes the router. A route that is put beside it is in no document, so each has to be named here.
#[test]
fn no_route_stands_outside_the_table_unless_it_is_no_rest() {
    fn routes(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // Protocols of their own, which are mounted beside the router and not by it.
            if ["sockjs", "stomp"].iter().any(|folder| path.ends_with(folder)) {
                continue;
            }
            if path.is_dir() {
                routes(&path, found);
                continue;
            }
            let source = fs::read_to_string(&path).unwrap();
            let calls = source.split(".route(").skip(1).map(|rest| rest.split([',', ')']).next().unwrap());
            found.extend(calls.map(|argument| argument.trim().to_owned()));
        }
    }
    let mut found = BTreeSet::new();
    routes(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    // This file, which names the call, is among them.
    found.remove("\"");
    found.remove("\"");
    let known = [
        "$path",
        "DOCUMENT",
        "\"/asyncapi.json\"",
        "\"/docs\"",
        "\"/docs/\"",
        "\"/docs/{file}\"",
        "\"/events\"",
        "\"/metrics\"",
        "\"/ws\"",
    ];
    assert_eq!(found, known.map(str::to_owned).into());
}

#[test]
fn every_code_that_rest_can_give_appears_with_its_status() {
    let document = json();
    let mut appearing = BTreeSet::new();
    let mut look_at = |status: &str, response: &Value| {
        let Some(narrowed) = response["content"]["application/problem+json"]["schema"]["allOf"].get(1) else {
            return;
        };
        for code in narrowed["properties"]["code"]["enum"].as_array().unwrap() {
            let code = code.as_str().unwrap();
            let (_, expected, _) = CODES.iter().find(|(known, ..)| *known == code).unwrap();
            assert_eq!(status, expected.to_string(), "{code}");
            appearing.insert(code.to_owned());
        }
    };
    for (_, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            look_at(status, resolve(&document, response));
        }
    }
    for (name, status) in [("ChatNoSuchPath", "404"), ("ChatNoSuchMethod", "405")] {
        look_at(status, &document["components"]["responses"][name]);
    }
    let expected: BTreeSet<_> = refusals::codes().into_iter().map(str::to_owned).collect();
    assert_eq!(appearing, expected);
    assert!(expected.len() >= CODES.len() - 6, "a new code belongs to some route, or to the socket alone");
}

#[test]
fn every_reference_leads_somewhere_and_nothing_is_left_over() {
    let document = json();
    // To these two nothing refers: they are answers to what is not described.
    let mut wanted: BTreeSet<_> =
        ["ChatNoSuchPath", "ChatNoSuchMethod"].map(|name| format!("#/components/responses/{name}")).into();
    walk(&document, &mut |object| {
        if let Some(Value::String(reference)) = object.get("$ref") {
            wanted.insert(reference.clone());
        }
    });
    let there = |kind: &'static str| {
        let names = document["components"][kind].as_object().unwrap().keys();
        names.map(move |name| format!("#/components/{kind}/{name}"))
    };
    assert_eq!(wanted, there("schemas").chain(there("responses")).collect());
}

#[test]
fn every_link_leads_to_an_operation_that_has_its_parameters() {
    let document = json();
    let operations = operations(&document);
    let mut links = 0;
    walk(&document["paths"], &mut |object| {
        for link in
            object.get("links").and_then(Value::as_object).into_iter().flat_map(|links| links.values())
        {
            let to = operations
                .values()
                .find(|operation| operation["operationId"] == link["operationId"])
                .unwrap();
            for name in link["parameters"].as_object().unwrap().keys() {
                let known = to["parameters"].as_array().unwrap().iter().any(|known| known["name"] == **name);
                assert!(known, "{link}: {name}");
            }
            links += 1;
        }
    });
    // Where a request has two good answers, both have the link.
    assert!(links >= links::STEPS.len(), "{links}");
}

#[test]
fn a_body_is_required_unless_every_field_of_it_may_be_missing() {
    let document = json();
    let mut bodies = 0;
    for ((path, method), operation) in operations(&document) {
        let Some(body) = operation.get("requestBody") else { continue };
        let schema = resolve(&document, &body["content"]["application/json"]["schema"]);
        let needs_some = schema["oneOf"].is_array() || schema["required"].is_array();
        assert_eq!(body["required"], needs_some, "{method} {path}");
        bodies += 1;
    }
    assert_eq!(bodies, 6);
}

#[test]
fn names_are_ours_alone_so_that_the_document_can_be_merged() {
    let document = json();
    for kind in ["schemas", "responses"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(name.starts_with("Chat"), "{kind}: {name}");
        }
    }
    let ids: BTreeSet<_> = operations(&document)
        .into_values()
        .map(|operation| operation["operationId"].as_str().unwrap().to_owned())
        .collect();
    assert!(ids.iter().all(|id| id.starts_with("chat")), "{ids:?}");
    assert_eq!(ids.len(), rest::ROUTES.len());
}

#[test]
fn every_operation_is_told_in_words_and_by_whom_it_may_be_called() {
    let document = json();
    let tags: BTreeSet<_> = TAGS.iter().map(|(name, _)| *name).collect();
    for ((path, method), operation) in operations(&document) {
        for field in ["summary", "description"] {
            assert!(
                operation[field].as_str().is_some_and(|text| !text.is_empty()),
                "{method} {path}: {field}"
            );
        }
        assert!(tags.contains(operation["tags"][0].as_str().unwrap()), "{method} {path}");
        let free = matches!(path.as_str(), "/health" | "/metrics");
        let security = &operation["security"][0];
        assert_eq!(security.get("chatToken").is_none(), free, "{method} {path}: {security}");
        assert_eq!(operation["responses"].get("401").is_none(), free, "{method} {path}");
    }
}

#[test]
fn every_text_and_number_that_is_asked_for_has_its_bounds() {
    let document = json();
    let mut seen = 0;
    for ((path, method), operation) in operations(&document) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = format!("{method} {path} {}", parameter["name"]);
            let schema = resolve(&document, &parameter["schema"]);
            assert!(parameter["description"].is_string(), "{name}");
            let schemas = match schema["oneOf"].as_array() {
                Some(alternatives) => alternatives.iter().map(|schema| resolve(&document, schema)).collect(),
                None => vec![schema],
            };
            for schema in schemas {
                let bounds: &[&str] = match schema["type"].as_str().unwrap() {
                    "integer" => &["minimum", "maximum", "default"],
                    "array" => &["maxItems"],
                    _ if schema["enum"].is_array() => &["default"],
                    _ => &["maxLength", "pattern"],
                };
                for bound in bounds {
                    assert!(schema.get(bound).is_some(), "{name}: {bound} is missing in {schema}");
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn the_prefix_stands_before_every_path() {
    for prefix in ["/chat", "chat/", "/chat/"] {
        assert!(openapi(prefix).paths.paths.keys().all(|path| path.starts_with("/chat/")), "{prefix}");
    }
    for prefix in ["", "/"] {
        assert!(openapi(prefix).paths.paths.contains_key("/rooms"), "{prefix:?}");
    }
    assert!(openapi("/api/v1/chat").paths.paths.contains_key("/api/v1/chat/rooms/{room}"));
}
