//! Drafts as the hot log carries them.

use bytes::Bytes;

use super::{HotChange, HotDraft, HotEntry, ImportEntry, NameKey};
use crate::{Authority, Content, Draft, Error, Result};

/// The first byte of an encoded draft. Another one is of a later release.
const VERSION: u8 = 1;

/// The draft as bytes.
pub(super) fn encode(draft: &Draft) -> Result<Bytes> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, draft).map_err(|error| Error::invalid("draft", error))?;
    Ok(bytes.into())
}

/// The draft out of its bytes, or why it cannot be read.
pub(super) fn decode(bytes: &[u8]) -> Result<Draft, String> {
    match bytes.split_first() {
        Some((&VERSION, json)) => serde_json::from_slice(json).map_err(|error| error.to_string()),
        Some((version, _)) => Err(format!("encoded by another release ({version})")),
        None => Err("empty".to_owned()),
    }
}

/// The draft as a hot log sees it.
pub(super) fn hot_draft(draft: &Draft) -> Result<HotDraft> {
    let kind = draft.content.kind();
    let changes = matches!(draft.content, Content::Edit { .. } | Content::Delete { .. });
    let change = draft.content.target().map(|target| HotChange {
        target,
        own_only: changes && draft.authority == Authority::Member,
        deletes: matches!(draft.content, Content::Delete { .. }),
        known: None,
    });
    Ok(HotDraft {
        key: NameKey::new(&draft.sender, &draft.client_id),
        fingerprint: draft.fingerprint(),
        sender: draft.sender.clone(),
        timeline: kind.in_timeline(),
        changeable: kind.is_countable(),
        change,
        refused: false,
        not_archived: None,
        payload: encode(draft)?,
    })
}

/// The entry as an archive takes it, or why it cannot be read.
pub(super) fn import_entry(entry: &HotEntry) -> Result<ImportEntry, String> {
    Ok(ImportEntry { seq: entry.seq, id: entry.id, draft: decode(&entry.payload)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Body, ClientMessageId, MessageId, RoomId, UserId};

    fn draft(content: Content) -> Draft {
        let name = ClientMessageId::new("m1").unwrap();
        Draft::new(RoomId::new("tea").unwrap(), UserId::new("ann").unwrap(), name, content)
    }

    #[test]
    fn a_draft_comes_back_with_the_digest_of_what_was_sent() {
        let mut rewritten = draft(Content::text("damn"));
        rewritten.rewrite(Content::text("****"));
        for draft in [draft(Content::text("hello")), rewritten] {
            let back = decode(&encode(&draft).unwrap()).unwrap();
            assert_eq!((&back, back.fingerprint()), (&draft, draft.fingerprint()));
        }
    }

    #[test]
    fn what_another_release_wrote_is_named() {
        assert!(decode(&[2, b'{']).unwrap_err().contains("another release"));
        assert!(decode(&[]).is_err() && decode(&[VERSION, b'x']).is_err());
    }

    #[test]
    fn only_members_are_held_to_their_own_messages() {
        let target = MessageId::from_u128(7);
        let edit = draft(Content::Edit { target, body: Body::text("b") });
        let change = |draft: &Draft| hot_draft(draft).unwrap().change.unwrap();
        assert!(change(&edit).own_only && !change(&edit).deletes);
        assert!(!change(&edit.with_authority(Authority::Moderator)).own_only);
        let delete = change(&draft(Content::Delete { target }));
        assert!(delete.own_only && delete.deletes);
    }

    /// They are in databases that people have.
    #[test]
    fn keys_are_the_same_in_every_release() {
        let NameKey(key) = hot_draft(&draft(Content::text("hello"))).unwrap().key;
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN_KEY);
    }

    const GOLDEN_KEY: &str = "840982e0f0e4b3607a87825c2a2a19c4";
}
