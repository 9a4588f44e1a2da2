//! The codes in the specification are the codes in the program.

use std::collections::{BTreeMap, BTreeSet};

use chat_gateway::{CODES, json::CLOSE_CODES};

/// The rows of all tables in a section whose first column is headed `code`: the codes of each, and the second column.
fn rows(section: &str) -> Vec<(Vec<String>, String)> {
    let text = include_str!("../../PROTOCOL.md");
    let section = text.split("\n## ").find(|part| part.starts_with(section)).unwrap();
    let mut rows = Vec::new();
    let mut in_table = false;
    for line in section.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        in_table = line.starts_with('|') && (in_table || cells[1] == "`code`");
        if in_table && cells[1] != "`code`" && !cells[1].starts_with("---") {
            let codes = cells[1].split('`').skip(1).step_by(2).map(str::to_owned).collect();
            rows.push((codes, cells[2].to_owned()));
        }
    }
    assert!(!rows.is_empty(), "{section}");
    rows
}

#[test]
fn every_error_code_is_specified_and_every_specified_one_is_there() {
    let specified: BTreeSet<String> =
        ["Errors", "REST"].iter().flat_map(|section| rows(section)).flat_map(|(codes, _)| codes).collect();
    let there: BTreeSet<String> = CODES.iter().map(|(code, ..)| (*code).to_owned()).collect();
    assert_eq!(specified, there);
}

#[test]
fn every_closing_code_has_the_specified_number() {
    let specified: BTreeMap<String, u16> = rows("Closing")
        .into_iter()
        .flat_map(|(codes, number)| codes.into_iter().map(move |code| (code, number.parse().unwrap())))
        .collect();
    let there: BTreeMap<String, u16> =
        CLOSE_CODES.iter().map(|(code, number)| ((*code).to_owned(), *number)).collect();
    assert_eq!(specified, there);
}
