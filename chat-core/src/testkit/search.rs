//! Cases for [`Search`](crate::Search).
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

use crate::{
    Authority, Body, Content, CustomKind, Error, MemberChange, MessageId, ReactionOp, Retention, Role,
    search::SearchQuery,
    testkit::{
        SearchHarness, SearchNode,
        fixtures::{about, create_room, draft, reaction, room, store, user},
    },
};

/// Sends one text after the other into `r`, and answers their ids.
async fn say(node: &SearchNode, texts: &[&str]) -> Vec<MessageId> {
    let mut ids = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        ids.push(store(&node.log, draft("r", "ann", &format!("c{number}"), text)).await.id);
    }
    ids
}

/// A fresh room `r` of ann and bob.
async fn fresh(harness: &dyn SearchHarness) -> SearchNode {
    let node = harness.node().await;
    create_room(&node.log, "r", &["ann", "bob"]).await;
    node
}

async fn found(harness: &dyn SearchHarness, node: &SearchNode, name: &str, text: &str) -> Vec<MessageId> {
    harness.settle().await;
    let page = node.search.search(SearchQuery::new(user(name), text)).await.unwrap();
    page.messages.into_iter().map(|message| message.position.id).collect()
}

/// Whole: body, reactions, place.
pub async fn a_message_is_found_as_it_is_now(harness: &dyn SearchHarness) {
    let node = fresh(harness).await;
    let at = store(&node.log, draft("r", "ann", "c1", "green tea")).await;
    store(&node.log, about("r", "bob", "on", reaction(at.id, "+1", ReactionOp::Add))).await;
    harness.settle().await;
    let page = node.search.search(SearchQuery::new(user("bob"), "tea")).await.unwrap();
    assert_eq!((page.messages.len(), page.next), (1, None));
    let message = &page.messages[0];
    assert_eq!((&message.room, &message.position, &message.sender), (&room("r"), &at, &user("ann")));
    assert_eq!(message.content, Content::text("green tea"));
    assert_eq!(message.state.reactions.len(), 1);
    assert_eq!(found(harness, &node, "bob", "coffee").await, []);
}

/// All of them, and no other.
pub async fn only_the_rooms_of_the_reader_are_searched(harness: &dyn SearchHarness) {
    let node = fresh(harness).await;
    create_room(&node.log, "s", &["ann", "bob"]).await;
    create_room(&node.log, "foreign", &["ann"]).await;
    let mut ids = Vec::new();
    for name in ["r", "foreign", "s"] {
        ids.push(store(&node.log, draft(name, "ann", "c1", "tea")).await.id);
    }
    assert_eq!(found(harness, &node, "ann", "tea").await.len(), 3);
    let mut of_bob = found(harness, &node, "bob", "tea").await;
    of_bob.sort();
    let mut expected = [ids[0], ids[2]];
    expected.sort();
    assert_eq!(of_bob, expected);
    assert_eq!(found(harness, &node, "stranger", "tea").await, []);
}

/// Although others would match.
pub async fn naming_a_room_searches_it_alone(harness: &dyn SearchHarness) {
    let node = fresh(harness).await;
    create_room(&node.log, "s", &["ann"]).await;
    let here = say(&node, &["tea"]).await;
    store(&node.log, draft("s", "ann", "c1", "tea")).await;
    harness.settle().await;
    let mut query = SearchQuery::new(user("ann"), "tea");
    query.room = Some(room("r"));
    let page = node.search.search(query).await.unwrap();
    assert_eq!(page.messages.iter().map(|message| message.position.id).collect::<Vec<_>>(), here);
}

/// Likewise one that is not there: neither is told from the other.
pub async fn naming_a_foreign_room_is_refused(harness: &dyn SearchHarness) {
    let node = fresh(harness).await;
    say(&node, &["tea"]).await;
    harness.settle().await;
    for name in ["r", "missing"] {
        let mut query = SearchQuery::new(user("stranger"), "tea");
        query.room = Some(room(name));
        match node.search.search(query).await {
            Err(Error::NotAMember { room: of, user: who }) => {
                assert_eq!((of, who), (room(name), user("stranger")));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Until they are a member again.
pub async fn somebody_who_left_finds_nothing(harness: &dyn SearchHarness) {
    let node = fresh(harness).await;
    let ids = say(&node, &["tea"]).await;
    assert_eq!(found(harness, &node, "bob", "tea").await, ids);
    node.log.rooms.change_member(&room("r"), MemberChange::remove(user("bob"))).await.unwrap();
    assert_eq!(found(harness, &node, "bob", "tea").await, []);
    let mut query = SearchQuery::new(user("bob"), "tea");
    query.room = Some(room("r"));
    assert!(matches!(node.search.search(query).await, Err(Error::NotAMember { .. })));
    node.log.rooms.change_member(&room("r"), MemberChange::add(user("bob"), Role::Member)).await.unwrap();
    assert_eq!(found(harness, &node, "bob", "tea").await, ids);
}

/// Over several rooms, whatever the size of a page.
pub async fn pages_come_newest_first_without_repeat_or_gap(harness: &dyn SearchHarness) {
    let node = fresh(harness).await;
    create_room(&node.log, "s", &["ann", "bob"]).await;
    let mut expected = Vec::new();
    for number in 0..24 {
        let text = if number % 3 == 0 { "coffee" } else { "tea" };
        let name = if number % 5 < 2 { "r" } else { "s" };
        let at = store(&node.log, draft(name, "ann", &format!("c{number}"), text)).await;
        if text == "tea" {
            expected.push(at.id);
        }
    }
    expected.sort();
    expected.reverse();
    harness.settle().await;
    for limit in [1, 3, 7, 15, 16, 17] {
        let mut query = SearchQuery::new(user("bob"), "tea");
        query.limit = limit;
        let mut seen = Vec::new();
        loop {
            let page = node.search.search(query.clone()).await.unwrap();
            assert!(page.messages.len() <= limit);
            seen.extend(page.messages.iter().map(|message| message.position.id));
            let Some(next) = page.next else { break };
            assert_eq!(page.messages.len(), limit, "only the last page is short");
            query.before = Some(next);
        }
        assert_eq!(seen, expected, "{limit} at a time");
    }
}

/// In any order.
pub async fn every_word_must_occur(harness: &dyn SearchHarness) {
    let node = fresh(harness).await;
    let ids = say(&node, &["green tea", "green apple", "tea is green", "black tea"]).await;
    assert_eq!(found(harness, &node, "bob", "tea green").await, [ids[2], ids[0]]);
    assert_eq!(found(harness, &node, "bob", "  green\t apple ").await, [ids[1]]);
    assert_eq!(found(harness, &node, "bob", "black apple").await, []);
}

/// In the text and in the query, in other alphabets, too.
pub async fn upper_and_lower_case_are_the_same(harness: &dyn SearchHarness) {
    let node = fresh(harness).await;
    let ids = say(&node, &["Green TEA", "ÉCLAIR", "чай"]).await;
    for (text, expected) in [("tea", 0), ("GREEN", 0), ("gReEn", 0), ("éclair", 1), ("ЧАЙ", 2)] {
        assert_eq!(found(harness, &node, "bob", text).await, [ids[expected]], "{text}");
    }
}

/// Commas, quotes and line ends do not belong to a word.
pub async fn words_are_found_beside_punctuation(harness: &dyn SearchHarness) {
    let node = fresh(harness).await;
    let ids = say(&node, &["Hello, world!", "(tea)\n\"quoted\" it's"]).await;
    for (text, expected) in [("hello", 0), ("world", 0), ("tea", 1), ("quoted", 1)] {
        assert_eq!(found(harness, &node, "bob", text).await, [ids[expected]], "{text}");
    }
}

/// Once, as the message and not as the edit.
pub async fn an_edited_message_is_found_by_its_new_text_alone(harness: &dyn SearchHarness) {
    let node = fresh(harness).await;
    let ids = say(&node, &["green tea", "other"]).await;
    assert_eq!(found(harness, &node, "bob", "tea").await, [ids[0]]);
    for (number, text) in ["black coffee", "cold water"].into_iter().enumerate() {
        let edit = Content::Edit { target: ids[0], body: Body::text(text) };
        store(&node.log, about("r", "ann", &format!("e{number}"), edit)).await;
        assert_eq!(found(harness, &node, "bob", text).await, [ids[0]]);
        assert_eq!(found(harness, &node, "bob", "tea").await, []);
    }
    assert_eq!(found(harness, &node, "bob", "coffee").await, []);
}

/// Neither by its first words nor by those of an edit.
pub async fn a_deleted_message_is_never_found(harness: &dyn SearchHarness) {
    let node = fresh(harness).await;
    let ids = say(&node, &["green tea", "green apple"]).await;
    store(
        &node.log,
        about("r", "ann", "e", Content::Edit { target: ids[0], body: Body::text("green leaf") }),
    )
    .await;
    assert_eq!(found(harness, &node, "bob", "green").await, [ids[1], ids[0]]);
    store(&node.log, about("r", "ann", "d", Content::Delete { target: ids[0] })).await;
    for (text, expected) in [("green", vec![ids[1]]), ("tea", vec![]), ("leaf", vec![])] {
        assert_eq!(found(harness, &node, "bob", text).await, expected, "{text}");
    }
}

/// It is no longer in the log.
pub async fn a_trimmed_message_is_not_found(harness: &dyn SearchHarness) {
    let node = fresh(harness).await;
    let ids = say(&node, &["tea one", "tea two", "tea three"]).await;
    let retention = Retention { max_entries: Some(1), not_before: None };
    node.log.log.trim(&room("r"), retention).await.unwrap();
    assert_eq!(found(harness, &node, "bob", "tea").await, [ids[2]]);
}

/// Reactions, joins and leaves.
pub async fn what_is_no_message_is_not_found(harness: &dyn SearchHarness) {
    let node = fresh(harness).await;
    let ids = say(&node, &["hello"]).await;
    store(&node.log, about("r", "ann", "on", reaction(ids[0], "tea", ReactionOp::Add))).await;
    let join = about("r", "ann", "j", Content::Join { user: user("tea") }).with_authority(Authority::System);
    store(&node.log, join).await;
    store(&node.log, about("r", "ann", "l", Content::Leave { user: user("tea") })).await;
    assert_eq!(found(harness, &node, "bob", "tea").await, []);
}

/// Like chat.
pub async fn an_applications_own_entries_are_found(harness: &dyn SearchHarness) {
    let node = fresh(harness).await;
    let content = Content::Custom { name: CustomKind::new("poll").unwrap(), body: Body::text("which tea") };
    let poll = store(&node.log, about("r", "ann", "c1", content)).await;
    assert_eq!(found(harness, &node, "bob", "tea").await, [poll.id]);
}

async fn inside(harness: &dyn SearchHarness, texts: &[&str], words: &[(&str, usize)], absent: &str) {
    let node = fresh(harness).await;
    let ids = say(&node, texts).await;
    for (word, expected) in words {
        assert_eq!(found(harness, &node, "bob", word).await, [ids[*expected]], "{word}");
    }
    assert_eq!(found(harness, &node, "bob", absent).await, []);
}

/// With its particle stuck to it.
pub async fn a_word_inside_a_korean_sentence_is_found(harness: &dyn SearchHarness) {
    let texts = ["내일회의는 서울에서 합니다", "안녕하세요 여러분"];
    inside(harness, &texts, &[("회의", 0), ("서울", 0), ("서울 회의", 0), ("하세", 1)], "부산").await;
}

/// Between words that no space divides.
pub async fn a_word_inside_a_japanese_sentence_is_found(harness: &dyn SearchHarness) {
    let texts = ["明日の会議は東京で行います", "コーヒーを飲みました"];
    inside(harness, &texts, &[("会議", 0), ("東京", 0), ("コーヒー", 1), ("東京 会議", 0)], "大阪").await;
}

/// Between words that no space divides.
pub async fn a_word_inside_a_chinese_sentence_is_found(harness: &dyn SearchHarness) {
    let texts = ["我们明天去北京开会", "他喜欢喝绿茶。"];
    inside(harness, &texts, &[("北京", 0), ("开会", 0), ("绿茶", 1), ("北京 明天", 0)], "上海").await;
}

/// As many are in Chinese and Japanese.
pub async fn a_word_of_one_character_is_found(harness: &dyn SearchHarness) {
    inside(harness, &["他喜欢喝茶", "猫が好きです"], &[("茶", 0), ("猫", 1)], "犬").await;
}

/// No operator, no wildcard, and no error.
pub async fn a_text_that_looks_like_a_query_language_is_only_a_text(harness: &dyn SearchHarness) {
    let node = fresh(harness).await;
    let ids = say(&node, &["tea", "tea or coffee", "plain"]).await;
    assert_eq!(found(harness, &node, "bob", "tea OR coffee").await, [ids[1]]);
    assert_eq!(found(harness, &node, "bob", "plain NOT tea").await, []);
    for text in ["%", "_", "*", "pl%n", "p_ain", "te*x", ".*"] {
        assert_eq!(found(harness, &node, "bob", text).await, [], "{text}");
    }
    for text in
        ["\"", "'", "tea'", "(tea", "tea & | !", "a:b", "-", "<->", "\\", "'; drop table x; --", "{tea}"]
    {
        harness.settle().await;
        node.search.search(SearchQuery::new(user("bob"), text)).await.unwrap();
    }
}

/// Limits beyond the bounds are taken as the bound.
pub async fn the_limit_is_held_between_one_and_a_hundred(harness: &dyn SearchHarness) {
    let node = fresh(harness).await;
    let drafts: Vec<_> = (0..101).map(|number| draft("r", "ann", &format!("c{number}"), "tea")).collect();
    node.log.log.append(&drafts).await.unwrap();
    harness.settle().await;
    for (limit, expected) in [(0, 1), (usize::MAX, 100)] {
        let mut query = SearchQuery::new(user("bob"), "tea");
        query.limit = limit;
        let page = node.search.search(query).await.unwrap();
        assert_eq!((page.messages.len(), page.next.is_some()), (expected, true));
    }
    assert_eq!(found(harness, &node, "bob", "tea").await.len(), 20, "unless one is set");
}

/// The longest that is allowed is looked for.
pub async fn a_blank_or_overlong_text_is_refused(harness: &dyn SearchHarness) {
    let node = fresh(harness).await;
    let longest = "茶".repeat(SearchQuery::MAX_TEXT_CHARS);
    let ids = say(&node, &[&longest]).await;
    assert_eq!(found(harness, &node, "bob", &longest).await, ids);
    for text in ["", " \t\n\u{3000}", &"a".repeat(SearchQuery::MAX_TEXT_CHARS + 1)] {
        let refused = node.search.search(SearchQuery::new(user("bob"), text)).await;
        assert!(matches!(refused, Err(Error::LimitExceeded { .. })), "{text:?}: {refused:?}");
    }
}
