use chat_core::Draft;
use rdkafka::{
    Message,
    message::{Header, Headers as _, OwnedHeaders},
};

use crate::record::{self, InvalidRecord};

/// A record of the messages topic on its way through a worker.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) partition: i32,
    /// Which of the times that the partition was given to this worker.
    pub(super) term: u64,
    pub(super) offset: i64,
    pub(super) content: Content,
    /// Who waits for what becomes of it.
    pub(super) request: Option<String>,
}

/// What the record says.
#[derive(Debug)]
pub(super) enum Content {
    Draft(Draft),
    /// Nothing that is a message.
    Unreadable {
        reason: InvalidRecord,
        original: Original,
    },
}

/// A record as it was.
#[derive(Debug)]
pub(super) struct Original {
    pub(super) key: Vec<u8>,
    pub(super) payload: Vec<u8>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Item {
    pub(super) fn read(message: &impl Message, term: u64) -> Self {
        let content = match record::decode_draft(message.payload()) {
            Ok(draft) => Content::Draft(draft),
            Err(reason) => Content::Unreadable { reason, original: Original::of(message) },
        };
        let request = record::header(message.headers(), record::REQUEST);
        let request = request.and_then(|request| String::from_utf8(request.to_vec()).ok());
        Self { partition: message.partition(), term, offset: message.offset(), content, request }
    }

    /// The version of a record that another release wrote. It may be a message that was accepted.
    pub(super) const fn other_version(&self) -> Option<u32> {
        match &self.content {
            Content::Unreadable { reason: InvalidRecord::OtherVersion { version }, .. } => Some(*version),
            _ => None,
        }
    }

    /// Bytes that it takes here, roughly.
    pub(super) fn len_bytes(&self) -> usize {
        size_of::<Self>()
            + match &self.content {
                Content::Draft(draft) => draft.len_bytes(),
                Content::Unreadable { original, .. } => original.key.len() + original.payload.len(),
            }
    }

    pub(super) const fn draft(&self) -> Option<&Draft> {
        match &self.content {
            Content::Draft(draft) => Some(draft),
            Content::Unreadable { .. } => None,
        }
    }

    #[cfg(test)]
    pub(super) const fn of_draft(partition: i32, term: u64, offset: i64, draft: Draft) -> Self {
        Self { partition, term, offset, content: Content::Draft(draft), request: None }
    }
}

impl Original {
    fn of(message: &impl Message) -> Self {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        let headers = headers.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)));
        Self {
            key: message.key().unwrap_or_default().to_vec(),
            payload: message.payload().unwrap_or_default().to_vec(),
            headers: headers.collect(),
        }
    }

    pub(super) fn headers(&self) -> OwnedHeaders {
        let headers = OwnedHeaders::new_with_capacity(self.headers.len());
        self.headers
            .iter()
            .fold(headers, |headers, (key, value)| headers.insert(Header { key, value: value.as_deref() }))
    }
}
