//! The README shows this example, so the two must not drift apart.

const PROGRAM: &str = include_str!("../src/main.rs");
const README: &str = include_str!("../../../README.md");

#[test]
fn the_readme_shows_exactly_this_program() {
    let shown = format!("\n```rust\n{PROGRAM}```\n");
    assert!(README.contains(&shown), "put examples/axum-embed/src/main.rs into README.md as it is");
}

#[test]
fn embedding_a_chat_takes_at_most_forty_lines() {
    assert!(PROGRAM.lines().count() <= 40);
}
