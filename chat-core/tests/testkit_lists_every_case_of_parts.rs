//! A case that no macro lists would never run.
#![allow(clippy::unwrap_used, reason = "what fails here is a failing test")]

use std::{
    fs,
    path::{Path, PathBuf},
};

fn testkit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/testkit")
}

fn sources(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            sources(&entry.unwrap().path(), found);
        }
    } else {
        found.push(path.to_owned());
    }
}

#[test]
fn every_case_is_in_its_macro() {
    let parts = [
        ("rooms", "macros_rooms.rs"),
        ("fanout", "macros_fanout.rs"),
        ("presence", "macros_presence.rs"),
        ("search.rs", "macros_search.rs"),
        ("revocation.rs", "macros_auth.rs"),
        ("rate_limit.rs", "macros_auth.rs"),
    ];
    for (cases, macros) in parts {
        let macros = fs::read_to_string(testkit().join(macros)).unwrap();
        let listed: Vec<_> = macros.lines().filter_map(|line| line.trim().strip_suffix(',')).collect();
        let mut files = Vec::new();
        sources(&testkit().join(cases), &mut files);
        let mut count = 0;
        for file in files {
            let source = fs::read_to_string(&file).unwrap();
            for declared in source.lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
                let name = declared.split('(').next().unwrap();
                assert!(listed.contains(&name), "{name} of {} is in no macro", file.display());
                count += 1;
            }
        }
        assert!(count > 5, "{cases} has only {count} cases");
    }
}
