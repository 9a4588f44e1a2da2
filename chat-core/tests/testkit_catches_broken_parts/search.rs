use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use chat_core::{
    Backend, Result, Search, Storage as _, UserId,
    memory::MemoryStore,
    search::{SearchPage, SearchQuery},
    testkit::{LogNode, SearchHarness, SearchNode, search as cases},
};

use super::{catches, panics};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    ShowsForeignRooms,
    NeverForgets,
    AnyWordWillDo,
    WordsByWhiteSpace,
}

#[derive(Debug)]
struct BrokenSearch {
    search: Arc<dyn Search>,
    answers: Mutex<HashMap<String, SearchPage>>,
    fault: Option<Fault>,
}

#[async_trait]
impl Backend for BrokenSearch {
    fn name(&self) -> &'static str {
        "broken"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Search for BrokenSearch {
    async fn search(&self, mut query: SearchQuery) -> Result<SearchPage> {
        match self.fault {
            // The cases let ann into every room.
            Some(Fault::ShowsForeignRooms) => query.user = UserId::new("ann").unwrap(),
            // An index that is told of messages and not of what becomes of them.
            Some(Fault::NeverForgets) => {
                if let Some(known) = self.answers.lock().unwrap().get(&query.text) {
                    return Ok(known.clone());
                }
            }
            Some(Fault::AnyWordWillDo) => {
                query.text = query.text.split_whitespace().next().unwrap_or_default().to_owned();
            }
            _ => {}
        }
        let text = query.text.clone();
        let mut page = self.search.search(query).await?;
        if self.fault == Some(Fault::WordsByWhiteSpace) {
            page.messages.retain(|message| match message.content.body() {
                Some(chat_core::Body::Text(body)) => {
                    text.split_whitespace().all(|word| body.split_whitespace().any(|other| other == word))
                }
                _ => true,
            });
        }
        self.answers.lock().unwrap().insert(text, page.clone());
        Ok(page)
    }
}

struct Broken {
    fault: Option<Fault>,
}

impl Broken {
    fn new(fault: Option<Fault>) -> Self {
        Self { fault }
    }
}

#[async_trait]
impl SearchHarness for Broken {
    async fn node(&self) -> SearchNode {
        let store = MemoryStore::new();
        let log = LogNode { log: store.message_log(), rooms: store.rooms() };
        let search = BrokenSearch { search: store.search(), answers: Mutex::default(), fault: self.fault };
        SearchNode { log, search: Arc::new(search) }
    }

    async fn settle(&self) {}
}

catches! {
    foreign_rooms_that_are_shown: Broken, Fault::ShowsForeignRooms, cases::only_the_rooms_of_the_reader_are_searched;
    a_foreign_room_that_is_named: Broken, Fault::ShowsForeignRooms, cases::naming_a_foreign_room_is_refused;
    deleted_messages_that_are_found: Broken, Fault::NeverForgets, cases::a_deleted_message_is_never_found;
    an_edit_that_is_not_indexed: Broken, Fault::NeverForgets, cases::an_edited_message_is_found_by_its_new_text_alone;
    one_word_of_several: Broken, Fault::AnyWordWillDo, cases::every_word_must_occur;
    words_divided_by_spaces_in_japanese:
        Broken, Fault::WordsByWhiteSpace, cases::a_word_inside_a_japanese_sentence_is_found;
}
