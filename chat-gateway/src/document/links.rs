//! Which answer leads on to which request.

use serde_json::json;
use utoipa::openapi::{
    OpenApi, RefOr,
    link::{Link, LinkBuilder},
    path::Operation,
};

/// An answer's part, and the request that takes it.
pub(super) struct Step {
    from: &'static str,
    to: &'static str,
    /// The parameters of the request, and where their values come from.
    parameters: &'static [(&'static str, &'static str)],
    /// Where the `cursor` of its body comes from.
    cursor: Option<&'static str>,
}

const fn step(
    from: &'static str,
    to: &'static str,
    parameters: &'static [(&'static str, &'static str)],
) -> Step {
    Step { from, to, parameters, cursor: None }
}

const SAME_ROOM: (&str, &str) = ("room", "$request.path.room");
const SENT: &[(&str, &str)] = &[SAME_ROOM, ("message", "$response.body#/id")];
const NEW_ROOM: &[(&str, &str)] = &[("room", "$response.body#/id")];

pub(super) const STEPS: [Step; 13] = [
    step("chatCreateRoom", "chatShowRoom", NEW_ROOM),
    step("chatCreateRoom", "chatChangeRoom", NEW_ROOM),
    step("chatCreateRoom", "chatListMembers", NEW_ROOM),
    step("chatCreateRoom", "chatPutMember", NEW_ROOM),
    step("chatCreateRoom", "chatSendMessage", NEW_ROOM),
    step("chatCreateRoom", "chatListMessages", NEW_ROOM),
    step("chatCreateRoom", "chatCountUnread", NEW_ROOM),
    step("chatPutMember", "chatRemoveMember", &[SAME_ROOM, ("user", "$response.body#/user")]),
    step("chatSendMessage", "chatListMessages", &[SAME_ROOM, ("after", "$response.body#/cursor")]),
    step("chatSendMessage", "chatEditMessage", SENT),
    step("chatSendMessage", "chatDeleteMessage", SENT),
    step("chatSendMessage", "chatAddReaction", SENT),
    Step {
        from: "chatSendMessage",
        to: "chatMarkRead",
        parameters: &[SAME_ROOM],
        cursor: Some("$response.body#/cursor"),
    },
];

/// Puts the links to the successful answers.
pub(super) fn add(document: &mut OpenApi) {
    let items = document.paths.paths.values_mut();
    let operations =
        items.flat_map(|item| [&mut item.get, &mut item.post, &mut item.put]).filter_map(Option::as_mut);
    for operation in operations {
        let id = operation.operation_id.clone().unwrap_or_default();
        for step in STEPS.iter().filter(|step| step.from == id) {
            add_to(operation, step);
        }
    }
}

fn add_to(operation: &mut Operation, step: &Step) {
    // What is only accepted has no place yet that a link could lead to.
    let is_done = |status: &str| status.starts_with('2') && status != "202";
    let answers = operation.responses.responses.iter_mut().filter(|(status, _)| is_done(status));
    for (_, answer) in answers {
        if let RefOr::T(answer) = answer {
            answer.links.insert(step.to.to_owned(), link(step).into());
        }
    }
}

fn link(step: &Step) -> Link {
    let link = LinkBuilder::new().operation_id(step.to);
    let link = step.parameters.iter().fold(link, |link, (name, value)| link.parameter(*name, *value));
    match step.cursor {
        Some(cursor) => link.request_body(Some(json!({ "cursor": cursor }))).build(),
        None => link.build(),
    }
}
