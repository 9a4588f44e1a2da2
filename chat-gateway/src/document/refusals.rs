//! With what each kind of route can refuse a request.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{
        AllOfBuilder, ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder,
        example::ExampleBuilder, schema::Type,
    },
};

use super::values;
use crate::problem::{self, ProblemBody};

/// The media type of every problem (RFC 9457).
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// Whoever asks must be let in, and the parts behind the gateway must answer.
const ALWAYS: &[&str] = &[
    "unauthenticated",
    "token_expired",
    "token_revoked",
    "rate_limited",
    "internal",
    "unavailable",
    "timeout",
];

/// A body that is to be JSON.
const BODY: &[&str] = &["malformed", "invalid_request", "body_too_large", "unsupported_media_type"];

/// A room that one must be allowed to see.
const ROOM: &[&str] = &["invalid_request", "forbidden", "not_a_member", "room_not_found"];

/// An entry that changes another.
const CHANGE: &[&str] = &[
    "target_not_found",
    "target_not_own",
    "room_inactive",
    "client_id_conflict",
    "rejected",
    "busy",
    "draining",
];

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident: $($group:expr),+;)+) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub(crate) struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    by_status(&[$($group),+])
                }
            }
        )+
    };
}

refusals! {
    /// Reads something of one's own.
    ReadsOwn: ALWAYS, &["invalid_request"];
    /// Asks for the presence of some.
    ReadsPresence: ALWAYS, &["invalid_request", "limit_exceeded"];
    /// Reads a room, or ends a membership.
    ReadsRoom: ALWAYS, ROOM;
    /// Reads a part of a room's log.
    ReadsLog: ALWAYS, ROOM, &["message_not_found", "cursor_reset", "cursor_expired"];
    /// Looks for messages.
    Searches: ALWAYS, &["invalid_request", "limit_exceeded", "forbidden", "not_a_member", "unsupported"];
    /// Creates a room.
    CreatesRoom: ALWAYS, BODY, &["limit_exceeded", "forbidden", "not_a_member", "room_exists"];
    /// Changes a room.
    ChangesRoom: ALWAYS, BODY, ROOM, &["limit_exceeded"];
    /// Changes a membership.
    ChangesMember: ALWAYS, BODY, ROOM, &["last_owner"];
    /// Ends a membership.
    EndsMembership: ALWAYS, ROOM, &["last_owner"];
    /// Moves a read marker.
    MarksRead: ALWAYS, BODY, &["not_a_member", "room_not_found", "cursor_reset"];
    /// Stores a message.
    Sends: ALWAYS, BODY, ROOM, &[
        "room_inactive",
        "client_id_conflict",
        "body_blank",
        "body_too_long",
        "body_invalid",
        "rejected",
        "busy",
        "draining",
    ];
    /// Edits a message.
    Edits: ALWAYS, BODY, ROOM, CHANGE, &["body_blank", "body_too_long", "body_invalid"];
    /// Deletes a message or reacts to it.
    Changes: ALWAYS, ROOM, CHANGE;
    /// Opens a stream of events. What may pass is told in the stream.
    OpensStream: &[
        "unauthenticated",
        "token_expired",
        "token_revoked",
        "invalid_request",
        "limit_exceeded",
        "forbidden",
        "not_a_member",
        "room_not_found",
        "unavailable",
    ];
    /// Is only there where the application turned it on.
    MayBeOff: &["not_found"];
}

/// What many routes answer in the same way. The first two are the router's own, for every path and every method that is
/// not described.
const SHARED: [(&str, &[&str]); 8] = [
    ("ChatNoSuchPath", &["not_found"]),
    ("ChatNoSuchMethod", &["method_not_allowed"]),
    ("ChatUnauthenticated", &["unauthenticated", "token_expired", "token_revoked"]),
    ("ChatRateLimited", &["rate_limited"]),
    ("ChatInternalError", &["internal"]),
    ("ChatUnavailable", &["unavailable"]),
    ("ChatTimeout", &["timeout"]),
    ("ChatInvalidRequest", &["invalid_request"]),
];

/// The responses to which routes refer by name.
pub(super) fn shared() -> impl Iterator<Item = (&'static str, Response)> {
    SHARED.into_iter().map(|(name, codes)| (name, response(codes)))
}

fn by_status(groups: &[&[&'static str]]) -> BTreeMap<String, RefOr<Response>> {
    let mut statuses = BTreeMap::<u16, Vec<&'static str>>::new();
    for code in groups.iter().copied().flatten() {
        let codes = statuses.entry(problem::status_and_title(code).0).or_default();
        if !codes.contains(code) {
            codes.push(code);
        }
    }
    let described = |codes: Vec<&'static str>| match SHARED.iter().find(|(_, shared)| *shared == codes) {
        Some((name, _)) => Ref::from_response_name(*name).into(),
        None => response(&codes).into(),
    };
    statuses.into_iter().map(|(status, codes)| (status.to_string(), described(codes))).collect()
}

/// All problems of one status.
fn response(codes: &[&'static str]) -> Response {
    let status = codes.first().map_or(500, |code| problem::status_and_title(code).0);
    let titles = codes.iter().map(|code| format!("`{code}`: {}.", problem::status_and_title(code).1));
    let narrowed = ObjectBuilder::new()
        .property("status", ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([status])))
        .property(
            "code",
            ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes.iter().copied())),
        );
    let schema = AllOfBuilder::new().item(Ref::from_schema_name(ProblemBody::name())).item(narrowed);
    let examples = codes.iter().map(|code| (*code, ExampleBuilder::new().value(Some(example(code))).build()));
    let content = ContentBuilder::new().schema(Some(schema)).examples_from_iter(examples).build();
    let response = ResponseBuilder::new()
        .description(titles.collect::<Vec<_>>().join(" "))
        .content(PROBLEM_JSON, content);
    let with_header = |header: Option<(&str, ObjectBuilder, &str)>| match header {
        Some((name, schema, description)) => response
            .header(name, HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build()),
        None => response,
    };
    with_header(header(status)).build()
}

fn header(status: u16) -> Option<(&'static str, ObjectBuilder, &'static str)> {
    let object = ObjectBuilder::new();
    match status {
        401 => {
            let scheme = object.schema_type(Type::String).enum_values(Some(["Bearer"]));
            Some(("WWW-Authenticate", scheme, "How to authenticate (RFC 6750)."))
        }
        429 | 503 => {
            let seconds = object.schema_type(Type::Integer).minimum(Some(0));
            Some(("Retry-After", seconds, "Seconds to wait, where that is known."))
        }
        _ => None,
    }
}

fn example(code: &str) -> serde_json::Value {
    let (status, title) = problem::status_and_title(code);
    let waits = matches!(code, "rate_limited" | "busy");
    let retryable = waits || matches!(code, "timeout" | "unavailable" | "draining");
    let mut example = json!({
        "title": title, "status": status, "detail": "what is wrong, in one sentence", "code": code, "retryable": retryable,
    });
    if waits {
        example["retryAfterMs"] = json!(250);
    }
    example
}

/// Every code that some route can give.
pub(super) fn codes() -> Vec<&'static str> {
    let over_the_socket_only = [
        "unknown_command",
        "not_connected",
        "already_connected",
        "other_user",
        "not_joined",
        "upgrade_required",
    ];
    let codes = problem::CODES.iter().map(|(code, ..)| *code);
    codes.filter(|code| !over_the_socket_only.contains(code)).collect()
}

values::values! {
    /// [`problem::CODES`]
    Code as "ChatProblemCode" = values::one_of(codes(), "What went wrong. It is stable: programs go by it.");
}
