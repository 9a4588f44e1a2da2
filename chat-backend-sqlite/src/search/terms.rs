//! Texts and queries as terms of the full-text index.
//!
//! Every word of a query must occur in the text, also within a longer word, in any script. So a text is indexed by its
//! fragments of one, two and three characters. All fragments of a part of a text are fragments of the text: the terms of
//! a query never miss a message. They may name one too many, so a candidate counts only if
//! [`matches`](chat_core::search::matches) confirms it.

use std::fmt::Write as _;

use chat_core::search::fold;

/// From here on the alphabets are large (Han, kana, Hangul, emoji): two characters tell as much there as three elsewhere,
/// so longer fragments would only cost space.
const LARGE_ALPHABETS: char = '\u{2e80}';

/// ASCII that is neither letter nor digit moves here, into a private area, so that no tokenizer splits a term at it and
/// no term means anything in the query language.
const PRIVATE: u32 = 0xe000;

/// Bits of a character in a packed fragment: three of them fit into 64.
const CHAR_BITS: u32 = 21;

/// More terms than this for one query would cost more than the few candidates they might still rule out.
const MAX_QUERY_TERMS: usize = 32;

/// What the index holds of a message: the term of its room and every fragment of `text` once, separated by spaces.
pub(crate) fn index_terms(text: &str, room: u64) -> String {
    let mut fragments = Vec::new();
    for run in fold(text).split_whitespace() {
        let chars: Vec<char> = run.chars().collect();
        for length in 1..=3 {
            fragments.extend(chars.windows(length).filter(|window| is_indexed(window)).map(pack));
        }
    }
    // Sorting numbers costs a fraction of what a set of strings does, and long texts repeat themselves.
    fragments.sort_unstable();
    fragments.dedup();
    let mut terms = room_term(room);
    terms.reserve(fragments.len() * 4);
    for fragment in fragments {
        terms.push(' ');
        push_term(&mut terms, fragment);
    }
    terms
}

/// The `MATCH` expression for messages of `rooms` that may hold all of `words`; of all rooms if `rooms` is empty.
///
/// `None` if there is nothing to look for: neither words nor rooms.
pub(crate) fn match_expression(words: &[String], rooms: &[u64]) -> Option<String> {
    let mut clauses: Vec<String> = query_terms(words).into_iter().map(|term| format!("\"{term}\"")).collect();
    if !rooms.is_empty() {
        let rooms: Vec<String> = rooms.iter().map(|room| format!("\"{}\"", room_term(*room))).collect();
        clauses.push(format!("({})", rooms.join(" OR ")));
    }
    (!clauses.is_empty()).then(|| clauses.join(" AND "))
}

/// Terms that every message with all of `words` has.
fn query_terms(words: &[String]) -> Vec<String> {
    let mut fragments: Vec<u64> = words.iter().flat_map(|word| query_fragments(word)).collect();
    fragments.sort_unstable();
    fragments.dedup();
    // Spread over the whole query: the end of a long word says as much as its beginning.
    let step = fragments.len().div_ceil(MAX_QUERY_TERMS).max(1);
    fragments
        .into_iter()
        .step_by(step)
        .map(|fragment| {
            let mut term = String::new();
            push_term(&mut term, fragment);
            term
        })
        .collect()
}

/// Fragments that together cover `word`, each as long as the index has it. Of those of three characters every second one
/// is enough: all of them would rule out hardly more, and each costs a walk through the index.
fn query_fragments(word: &str) -> Vec<u64> {
    let chars: Vec<char> = word.chars().collect();
    if chars.len() < 2 {
        return chars.chunks(1).map(pack).collect();
    }
    let long = |at: usize| chars.get(at..at + 3).filter(|fragment| is_indexed(fragment));
    let mut fragments = Vec::new();
    for (at, pair) in chars.windows(2).enumerate() {
        match long(at) {
            Some(fragment) if at % 2 == 0 || long(at + 1).is_none() => fragments.push(pack(fragment)),
            Some(_) => {}
            None if at.checked_sub(1).and_then(long).is_some() => {}
            None => fragments.push(pack(pair)),
        }
    }
    fragments
}

/// Whether the index has this fragment: of three characters, only those of small alphabets.
fn is_indexed(fragment: &[char]) -> bool {
    fragment.len() < 3 || fragment.iter().all(|char| *char < LARGE_ALPHABETS)
}

/// One to three characters as one number. No character is 0, so lengths cannot be confused.
fn pack(fragment: &[char]) -> u64 {
    fragment.iter().fold(0, |packed, char| (packed << CHAR_BITS) | u64::from(private(*char)))
}

const fn private(char: char) -> u32 {
    let code = char as u32;
    if char.is_ascii() && !char.is_ascii_alphanumeric() { PRIVATE + code } else { code }
}

fn push_term(terms: &mut String, fragment: u64) {
    for place in [2, 1, 0] {
        let code = (fragment >> (place * CHAR_BITS)) & ((1 << CHAR_BITS) - 1);
        terms.extend(u32::try_from(code).ok().filter(|code| *code > 0).and_then(char::from_u32));
    }
}

/// At least five characters, so that no text can hold it as a term.
fn room_term(room: u64) -> String {
    let mut term = String::new();
    // Writing to a string cannot fail.
    let _ = write!(term, "r{room:04x}");
    term
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chat_core::search::words;
    use proptest::prelude::*;

    use super::*;

    fn indexed(text: &str) -> BTreeSet<String> {
        index_terms(text, 7).split(' ').map(String::from).collect()
    }

    fn asked(query: &str) -> BTreeSet<String> {
        query_terms(&words(query)).into_iter().collect()
    }

    fn set(terms: &[&str]) -> BTreeSet<String> {
        terms.iter().map(|term| String::from(*term)).collect()
    }

    #[test]
    fn a_text_is_indexed_by_its_fragments_and_its_room() {
        assert_eq!(indexed("Tea tea"), set(&["r0007", "t", "e", "a", "te", "ea", "tea"]));
        assert_eq!(indexed("東京都"), set(&["r0007", "東", "京", "都", "東京", "京都"]));
        assert_eq!(indexed(" \n "), set(&["r0007"]));
    }

    #[test]
    fn a_query_asks_for_fragments_that_cover_it() {
        assert_eq!(asked("a"), set(&["a"]));
        assert_eq!(asked("TE"), set(&["te"]));
        assert_eq!(asked("green tea"), set(&["gre", "een", "tea"]));
        assert_eq!(asked("greens"), set(&["gre", "een", "ens"]));
        assert_eq!(asked("京"), set(&["京"]));
        assert_eq!(asked("東京都"), set(&["東京", "京都"]));
        assert_eq!(asked("안녕하세요"), set(&["안녕", "녕하", "하세", "세요"]));
        assert_eq!(asked("abc東"), set(&["abc", "c東"]));
        assert_eq!(asked("東ab京"), set(&["東a", "ab", "b京"]));
    }

    #[test]
    fn words_are_found_beside_punctuation_and_within_words() {
        for (text, query) in [
            ("Hello, world!", "world"),
            ("(tea)", "TE"),
            ("it's", "'"),
            ("Straßenbahn", "ßENB"),
            ("東京都に住む", "京都"),
            ("カレーライス", "レー"),
            ("오늘점심먹자", "점심"),
            ("nice 👍🏽!", "👍"),
            ("ΟΔΟΣ", "οδοσ"),
        ] {
            assert!(chat_core::search::matches(text, &words(query)), "{text}");
            assert!(indexed(text).is_superset(&asked(query)), "{text}");
        }
        assert!(!chat_core::search::matches("green tea", &words("tea apple")));
        assert!(!indexed("green tea").is_superset(&asked("tea apple")));
    }

    #[test]
    fn punctuation_cannot_be_mistaken_for_the_query_language() {
        let expression = match_expression(&words("\" OR * AND ^( NEAR NOT a:b -\0"), &[]).unwrap_or_default();
        let terms: Vec<&str> = expression.split(" AND ").collect();
        assert!(terms.len() > 8, "{expression}");
        for term in terms {
            let bare = term.strip_prefix('"').and_then(|term| term.strip_suffix('"')).unwrap_or(" ");
            assert!(!bare.is_empty(), "{expression}");
            assert!(
                bare.chars().all(|char| char.is_ascii_alphanumeric() || !char.is_ascii()),
                "{expression}"
            );
        }
    }

    #[test]
    fn rooms_restrict_the_whole_expression() {
        let tea = words("tea");
        assert_eq!(match_expression(&tea, &[]).as_deref(), Some("\"tea\""));
        assert_eq!(
            match_expression(&tea, &[1, 70_000]).as_deref(),
            Some("\"tea\" AND (\"r0001\" OR \"r11170\")")
        );
        assert_eq!(match_expression(&[], &[1]).as_deref(), Some("(\"r0001\")"));
        assert_eq!(match_expression(&[], &[]), None);
    }

    #[test]
    fn the_greatest_query_asks_for_a_bounded_number_of_terms() {
        let query: String = (0..256).filter_map(|number| char::from_u32(0x4e00 + number)).collect();
        assert!(asked(&query).len() <= MAX_QUERY_TERMS);
        assert!(indexed(&query).is_superset(&asked(&query)));
    }

    /// Few characters, so that words do occur: letters whose case changes their number, joiners, control characters.
    fn text() -> impl Strategy<Value = String> {
        let char = prop::sample::select(
            "aAbßİσςΣÉéñ1-\"'(*:\0\u{7f}é東京ーカ하안👍🏽\u{200d}\u{e022} \n\u{3000}"
                .chars()
                .collect::<Vec<_>>(),
        );
        prop_oneof![prop::collection::vec(char, 0..24).prop_map(String::from_iter), ".{0,24}"]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_text_with_the_words_is_missed(text in text(), query in text()) {
            let words = words(&query);
            if chat_core::search::matches(&text, &words) {
                prop_assert!(indexed(&text).is_superset(&query_terms(&words).into_iter().collect()));
            }
        }

        #[test]
        fn every_part_of_a_text_is_found(text in text(), from in 0usize..24, length in 1usize..8, quietly: bool) {
            let part: String = text.chars().skip(from).take(length).collect();
            let part = if quietly { fold(&part) } else { part };
            prop_assert!(chat_core::search::matches(&text, &words(&part)));
            prop_assert!(indexed(&text).is_superset(&asked(&part)));
        }

        #[test]
        fn every_word_leaves_a_term(query in text()) {
            prop_assert_eq!(asked(&query).is_empty(), query.trim().is_empty());
        }

        #[test]
        fn no_text_holds_the_term_of_a_room(text in text(), room: u64) {
            let terms = index_terms(&text, room);
            prop_assert!(terms.split(' ').skip(1).all(|term| (1..=3).contains(&term.chars().count())));
            prop_assert!(room_term(room).chars().count() > 3);
        }

        #[test]
        fn terms_are_of_characters_that_no_tokenizer_splits(text in text()) {
            let terms = index_terms(&text, 0);
            prop_assert!(terms.chars().all(|char| char == ' ' || !char.is_ascii() || char.is_ascii_lowercase() || char.is_ascii_digit()));
            let all: Vec<&str> = terms.split(' ').collect();
            let distinct: BTreeSet<&str> = all.iter().copied().collect();
            prop_assert_eq!(all.len(), distinct.len());
        }
    }
}
