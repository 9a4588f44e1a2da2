//! The OpenAPI document of REST: made of the handlers, their types and the table of routes.

mod links;
#[cfg(feature = "docs")]
mod page;
mod refusals;
mod serve;
#[cfg(test)]
mod tests;
pub(crate) mod values;

use utoipa::{
    OpenApi as _, PartialSchema as _, ToSchema as _,
    openapi::{
        InfoBuilder, LicenseBuilder, OpenApi, RefOr, Required, Schema, Server,
        path::Operation,
        schema::{SchemaType, Type},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
        tag::TagBuilder,
    },
};

pub(crate) use self::{
    refusals::{
        Changes, ChangesMember, ChangesRoom, Code, CreatesRoom, Edits, EndsMembership, MarksRead, MayBeOff,
        OpensStream, ReadsLog, ReadsOwn, ReadsPresence, ReadsRoom, Searches, Sends,
    },
    serve::routes,
};
use crate::{problem::ProblemBody, rest};

const DESCRIPTION: &str = "\
Rooms, messages, members and presence of a chat: lists, back ends and clients without a socket. What happens live comes \
over the WebSocket `/ws`, or for readers as the stream `/events`, in frames of their own (`PROTOCOL.md`).

**Who asks.** `Authorization: Bearer …`, with a token of the application's. `/health`, `/metrics`, `/asyncapi.json` and this \
document with its page (`/openapi.json`, `/docs`) need none.

**Bodies** are JSON objects of at most 64 KiB unless the server was set up otherwise. Unknown fields and unknown parameters are \
ignored; clients ignore unknown fields of answers too. No answer is to be cached (`Cache-Control: no-store`).

**Errors** are `application/problem+json` (RFC 9457). Programs go by `code`, which is stable, people read `detail`. Where \
`retryable` is true the same request may succeed later, after `retryAfterMs` or the header `Retry-After` where they stand. \
Each route lists the codes that it can give. Any path that is not listed gives `not_found` (404), any method that is not listed \
`method_not_allowed` (405, with `Allow`). Every `GET` can be a `HEAD`.

**Lists** come in pages. `limit` is the most that a page has. An answer with `next` is not the last page: ask again with \
`next` as `after` (`before` in a search). A room's history is paged by cursor instead, in both directions.

**Positions** (`cursor`) are opaque: hand them back as they came. Times are RFC 3339 in UTC.";

/// The tags, in the order in which a reader meets them.
const TAGS: [(&str, &str); 6] = [
    ("Chat rooms", "The rooms one is in, and their settings."),
    ("Chat members", "Who belongs to a room, and what they may do."),
    ("Chat messages", "What was said, and saying something."),
    ("Chat reading", "How far everybody has read, and what is left."),
    ("Chat presence", "Who is online."),
    ("Chat operation", "For load balancers and monitoring: without a token."),
];

/// The OpenAPI document of the routes of REST, for an application that has a document of its own and nests
/// [`router`](crate::router()) under `prefix` (such as `/chat`; empty for none):
///
/// ```
/// let mut mine = utoipa::openapi::OpenApi::default();
/// mine.merge(chat_gateway::openapi("/chat"));
/// assert!(mine.paths.paths.contains_key("/chat/rooms/{room}/messages"));
/// ```
///
/// Every schema, tag and operation id begins with `Chat` or `chat`, and the security schemes are called `chatToken`
/// and `chatTokenInQuery`, so that they are nobody else's. The type is that of `utoipa` 6; as JSON (`serde_json::to_value`) any other tool reads it.
#[must_use]
pub fn openapi(prefix: &str) -> OpenApi {
    let prefix = prefix.trim_matches('/');
    let mut document = document();
    if !prefix.is_empty() {
        let paths = std::mem::take(&mut document.paths.paths);
        let prefixed = paths.into_iter().map(|(path, item)| (format!("/{prefix}{path}"), item));
        document.paths.paths = prefixed.collect();
    }
    document
}

/// The document with paths as the router has them, and `base` as the address they begin at.
fn document_at(base: &str) -> OpenApi {
    let mut document = document();
    document.servers = Some(vec![Server::new(base)]);
    document
}

fn document() -> OpenApi {
    let mut document = rest::Operations::openapi();
    document.info = InfoBuilder::new()
        .title("Chat")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(
            LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build(),
        ))
        .build();
    let tag = |(name, description)| TagBuilder::new().name(name).description(Some(description)).build();
    document.tags = Some(TAGS.map(tag).to_vec());
    let components = document.components.get_or_insert_default();
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token that the application gave to this user."));
    let in_query = ApiKeyValue::with_description(
        "access_token",
        "The same token, for a browser's `EventSource`, which cannot set headers. URLs end up in logs: let it be short-lived.",
    );
    components.security_schemes.insert("chatToken".to_owned(), SecurityScheme::Http(token.build()).into());
    let in_query = SecurityScheme::ApiKey(ApiKey::Query(in_query));
    components.security_schemes.insert("chatTokenInQuery".to_owned(), in_query.into());
    // Named by hand-made schemas and by parameters, where they are not found by themselves.
    let mut schemas = vec![
        (ProblemBody::name().into_owned(), ProblemBody::schema()),
        (values::Place::name().into_owned(), values::Place::schema()),
    ];
    ProblemBody::schemas(&mut schemas);
    components.schemas.extend(schemas);
    let responses = refusals::shared().map(|(name, response)| (name.to_owned(), response.into()));
    components.responses.extend(responses);
    let items = document.paths.paths.values_mut();
    items
        .flat_map(|item| [&mut item.post, &mut item.put, &mut item.patch])
        .flatten()
        .for_each(absent_not_null);
    links::add(&mut document);
    without_schema_of_a_stream(&mut document);
    document
}

/// A stream of events is no text that is read to its end. What one event is OpenAPI can say from 3.2 on.
fn without_schema_of_a_stream(document: &mut OpenApi) {
    let operations = document.paths.paths.values_mut().filter_map(|item| item.get.as_mut());
    for answer in operations.flat_map(|operation| operation.responses.responses.values_mut()) {
        if let RefOr::T(answer) = answer
            && let Some(RefOr::T(content)) = answer.content.get_mut("text/event-stream")
        {
            content.schema = None;
        }
    }
}

/// A body that may be missing is described as one that may be `null`, which it may not.
fn absent_not_null(operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    for content in body.content.values_mut() {
        let RefOr::T(content) = content else { continue };
        if let Some(RefOr::T(Schema::OneOf(either))) = &content.schema
            && let [schema, RefOr::T(Schema::Object(null))] = &either.items[..]
            && null.schema_type == SchemaType::Type(Type::Null)
        {
            content.schema = Some(schema.clone());
            body.required = Some(Required::False);
        }
    }
}
