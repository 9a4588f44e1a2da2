//! Contents, roles and kinds as columns of a table, with the same numbers in every store and every release: what a
//! database of today holds must be read by tomorrow's.

use crate::{
    Authority, Body, Content, CustomKind, EntryKind, JsonText, MessageId, ReactionKey, ReactionOp, Reactions,
    Role, UserId,
};

/// The `body_kind` of a body that was taken away.
pub const BODY_REMOVED: i64 = 3;
const BODY_TEXT: i64 = 1;
const BODY_JSON: i64 = 2;
const REACTION_ADD: i64 = 4;
const REACTION_REMOVE: i64 = 5;

/// The number of a role.
#[must_use]
pub const fn role_number(role: Role) -> i64 {
    match role {
        Role::Reader => 0,
        Role::Member => 1,
        Role::Moderator => 2,
        Role::Owner => 3,
    }
}

/// The role with this number.
#[must_use]
pub fn role(number: i64) -> Option<Role> {
    [Role::Reader, Role::Member, Role::Moderator, Role::Owner]
        .into_iter()
        .find(|role| role_number(*role) == number)
}

/// The number of an authority.
#[must_use]
pub const fn authority_number(authority: Authority) -> i64 {
    match authority {
        Authority::Member => 0,
        Authority::Moderator => 1,
        Authority::System => 2,
    }
}

/// The authority with this number.
#[must_use]
pub fn authority(number: i64) -> Option<Authority> {
    [Authority::Member, Authority::Moderator, Authority::System]
        .into_iter()
        .find(|authority| authority_number(*authority) == number)
}

/// The number of a kind.
#[must_use]
pub fn kind_number(kind: EntryKind) -> i64 {
    EntryKind::ALL.iter().zip(0..).find(|(known, _)| **known == kind).map_or(-1, |(_, number)| number)
}

/// The kind with this number.
#[must_use]
pub fn kind(number: i64) -> Option<EntryKind> {
    usize::try_from(number).ok().and_then(|index| EntryKind::ALL.get(index).copied())
}

/// A content's `body_kind` and `body`: its body, or which way a reaction goes.
#[must_use]
pub fn body_columns(content: &Content) -> (i64, Option<&str>) {
    match (content.body(), content) {
        (Some(body), _) => body_parts(body),
        (None, Content::Reaction { op: ReactionOp::Add, .. }) => (REACTION_ADD, None),
        (None, Content::Reaction { op: ReactionOp::Remove, .. }) => (REACTION_REMOVE, None),
        (None, _) => (0, None),
    }
}

/// A body's `body_kind` and `body`.
#[must_use]
pub fn body_parts(body: &Body) -> (i64, Option<&str>) {
    match body {
        Body::Text(text) => (BODY_TEXT, Some(text)),
        Body::Json(json) => (BODY_JSON, Some(json.as_str())),
        Body::Removed => (BODY_REMOVED, None),
    }
}

/// What `name` holds for this content: a custom kind, a reaction's key, or who joined or left.
#[must_use]
pub fn name_column(content: &Content) -> Option<&str> {
    match content {
        Content::Join { user } | Content::Leave { user } => Some(user.as_str()),
        Content::Reaction { key, .. } => Some(key.as_str()),
        Content::Custom { name, .. } => Some(name.as_str()),
        Content::Chat { .. } | Content::Edit { .. } | Content::Delete { .. } => None,
    }
}

fn body(number: i64, text: Option<&str>) -> Option<Body> {
    match (number, text) {
        (BODY_TEXT, Some(text)) => Some(Body::text(text)),
        (BODY_JSON, Some(text)) => JsonText::new(text).ok().map(Body::Json),
        (BODY_REMOVED, _) => Some(Body::Removed),
        _ => None,
    }
}

/// The content that these columns hold; `None` if they hold none.
#[must_use]
pub fn content(
    kind_number: i64,
    name: Option<&str>,
    target: Option<MessageId>,
    body_kind: i64,
    text: Option<&str>,
) -> Option<Content> {
    Some(match kind(kind_number)? {
        EntryKind::Chat => Content::Chat { body: body(body_kind, text)? },
        EntryKind::Join => Content::Join { user: UserId::new(name?).ok()? },
        EntryKind::Leave => Content::Leave { user: UserId::new(name?).ok()? },
        EntryKind::Edit => Content::Edit { target: target?, body: body(body_kind, text)? },
        EntryKind::Delete => Content::Delete { target: target? },
        EntryKind::Reaction => Content::Reaction {
            target: target?,
            key: ReactionKey::new(name?).ok()?,
            op: if body_kind == REACTION_ADD { ReactionOp::Add } else { ReactionOp::Remove },
        },
        EntryKind::Custom => {
            Content::Custom { name: CustomKind::new(name?).ok()?, body: body(body_kind, text)? }
        }
    })
}

/// Reactions out of `[[key, count, [user, …]], …]`; `None` if the text is something else.
#[must_use]
pub fn reactions(json: &str) -> Option<Vec<Reactions>> {
    let keys: Vec<(String, u32, Vec<String>)> = serde_json::from_str(json).ok()?;
    keys.into_iter()
        .map(|(key, count, users)| {
            let users = users.iter().map(|name| UserId::new(name).ok()).collect::<Option<_>>()?;
            Some(Reactions { key: ReactionKey::new(&key).ok()?, count, users })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They are in databases that people have.
    #[test]
    fn stored_numbers_are_the_same_in_every_release() {
        let kinds = EntryKind::ALL.map(|kind| (kind.as_str(), kind_number(kind)));
        let expected = [
            ("chat", 0),
            ("join", 1),
            ("leave", 2),
            ("edit", 3),
            ("delete", 4),
            ("reaction", 5),
            ("custom", 6),
        ];
        assert_eq!(kinds, expected);
        for (number, known) in [(0, Role::Reader), (1, Role::Member), (2, Role::Moderator), (3, Role::Owner)]
        {
            assert_eq!((role_number(known), role(number)), (number, Some(known)));
        }
        for (number, known) in [(0, Authority::Member), (1, Authority::Moderator), (2, Authority::System)] {
            assert_eq!((authority_number(known), authority(number)), (number, Some(known)));
        }
        assert_eq!(body_parts(&Body::text("a")), (1, Some("a")));
        assert_eq!(body_parts(&Body::Json(JsonText::new("{}").unwrap())), (2, Some("{}")));
        assert_eq!(body_parts(&Body::Removed), (3, None));
        let (target, key) = (MessageId::from_u128(1), ReactionKey::new("+1").unwrap());
        for (op, number) in [(ReactionOp::Add, 4), (ReactionOp::Remove, 5)] {
            assert_eq!(body_columns(&Content::Reaction { target, key: key.clone(), op }), (number, None));
        }
    }

    #[test]
    fn a_content_comes_back_out_of_its_columns() {
        let (target, user) = (MessageId::from_u128(7), UserId::new("ann").unwrap());
        let key = ReactionKey::new("+1").unwrap();
        for content in [
            Content::text("hello"),
            Content::Join { user: user.clone() },
            Content::Leave { user },
            Content::Edit { target, body: Body::text("other") },
            Content::Delete { target },
            Content::Reaction { target, key: key.clone(), op: ReactionOp::Add },
            Content::Reaction { target, key, op: ReactionOp::Remove },
            Content::Custom { name: CustomKind::new("order").unwrap(), body: Body::Removed },
        ] {
            let (body_kind, body) = body_columns(&content);
            let kind = kind_number(content.kind());
            let back = super::content(kind, name_column(&content), content.target(), body_kind, body);
            assert_eq!(back.as_ref(), Some(&content));
        }
        assert_eq!(super::content(0, None, None, 0, None), None);
        assert_eq!(super::content(99, None, None, 1, Some("a")), None);
        assert_eq!(reactions(r#"[["+1",2,["ann","bob"]]]"#).unwrap()[0].users.len(), 2);
        assert_eq!(reactions("[1]"), None);
    }
}
