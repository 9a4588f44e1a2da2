//! A case that its group's macro does not name would never run.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Every Rust file below `folder`, in one order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The cases that a file holds: `pub async fn NAME(harness`.
fn cases(source: &str) -> Vec<String> {
    let dense: String = source.split_whitespace().collect::<Vec<_>>().join(" ");
    let named = dense.split("pub async fn ").skip(1).filter_map(|rest| {
        let (name, arguments) = rest.split_once('(')?;
        arguments.trim_start().starts_with("harness:").then(|| name.to_owned())
    });
    named.collect()
}

/// Per module of cases, the names that the macros list: `$crate::testkit::MODULE, [ NAMES ]`.
fn listed(source: &str) -> Vec<(String, Vec<String>)> {
    let calls = source.split("$crate::__cases!(").skip(1);
    let parts = calls.filter_map(|call| {
        let (module, rest) = call.split_once("$crate::testkit::")?.1.split_once(',')?;
        let names = rest.split_once('[')?.1.split_once(']')?.0;
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
        Some((module.trim().to_owned(), names.collect()))
    });
    parts.collect()
}

/// `message_log/dedup.rs` is the module `message_log::dedup`.
fn module(root: &Path, file: &Path) -> String {
    let path = file.strip_prefix(root).unwrap().with_extension("");
    let parts: Vec<_> =
        path.iter().map(|part| part.to_str().unwrap()).filter(|part| *part != "mod").collect();
    parts.join("::")
}

#[test]
fn every_case_is_named_once_by_the_macro_of_its_group() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/testkit");
    let mut written: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files(&root) {
        let source = fs::read_to_string(&file).unwrap();
        if file.starts_with(root.join("macros")) {
            for (module, names) in listed(&source) {
                named.entry(module).or_default().extend(names);
            }
        } else {
            let cases = cases(&source);
            if !cases.is_empty() {
                written.insert(module(&root, &file), cases);
            }
        }
    }
    for names in written.values_mut().chain(named.values_mut()) {
        names.sort();
    }
    assert!(written.contains_key("message_log::dedup"), "no cases were found in {}", root.display());
    assert_eq!(named, written, "left: named by the macros; right: written as cases");
}

#[test]
fn the_umbrella_of_the_log_calls_every_group_but_epoch() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/testkit/macros/message_log.rs");
    let source = fs::read_to_string(file).unwrap();
    let (umbrella, groups) =
        source.split_once("#[macro_export]\nmacro_rules! message_log_dedup_tests").unwrap();
    let groups = format!("macro_rules! message_log_dedup_tests{groups}");
    for group in groups.split("macro_rules! ").skip(1).filter_map(|rest| rest.split_once(' ')) {
        let called = umbrella.contains(&format!("$crate::{}!($harness)", group.0));
        assert_eq!(called, group.0 != "message_log_epoch_tests", "{}", group.0);
    }
}

/// The test itself would be worth nothing if it read nothing.
#[test]
fn cases_and_lists_are_recognised() {
    let source = "pub async fn one(harness: &dyn A) {}\npub async fn helper(node: &N) {}\n\
                  pub async fn two(\n    harness: &dyn A,\n) {}\nasync fn three(harness: &dyn A) {}";
    assert_eq!(cases(source), ["one", "two"]);
    let source = "$crate::__cases!(g, $harness, $crate::testkit::a::b, [one,\n two,]);";
    assert_eq!(listed(source), [("a::b".to_owned(), vec!["one".to_owned(), "two".to_owned()])]);
}
