use axum::{extract::RawQuery, response::Response};
use chat_core::UserId;
use serde::Serialize;

use super::{extract::Caller, respond};
#[cfg(feature = "openapi")]
use crate::document::{ReadsPresence, values};
use crate::{
    Problem,
    json::view::{PresenceView, all},
};

/// How the query is described; [`users`] reads it.
#[cfg(feature = "openapi")]
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its schema is used")]
struct PresenceParams {
    /// Of whom: 1 to 200 user ids, with commas between them. A comma within an id is written `%2C`.
    #[param(style = Form, explode = false, min_items = 1, max_items = 200)]
    users: Vec<values::UserId>,
}

/// The users named in a query. Its commas are looked at before anything is decoded, since ids may have some too.
fn users(query: &str) -> Result<Vec<UserId>, Problem> {
    let mut named = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| decoded(name) == "users")
        .map(|(_, users)| users);
    let (Some(users), None) = (named.next(), named.next()) else {
        return Err(Problem::invalid("`users` is needed once"));
    };
    let users = users.split(',').map(|user| UserId::new(&decoded(user)));
    users.collect::<Result<_, _>>().map_err(|error| Problem::invalid(format!("`users`: {error}")))
}

/// A part of a query without its escapes. What is no UTF-8 then is no id either.
fn decoded(part: &str) -> String {
    let pair = format!("={part}");
    form_urlencoded::parse(pair.as_bytes()).map(|(_, value)| value.into_owned()).next().unwrap_or_default()
}

/// Who of those asked for is online.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatPresenceList))]
struct PresenceBody<'a> {
    /// In the order they were asked for.
    users: Vec<PresenceView<'a>>,
}

/// Who is online
///
/// Of the users named, in their order; whoever was never seen is offline.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/presence", operation_id = "chatListPresence", tag = "Chat presence",
    security(("chatToken" = [])),
    params(PresenceParams),
    responses((status = 200, description = "One for each.", body = PresenceBody<'static>), ReadsPresence),
))]
pub(super) async fn presence(Caller(actor): Caller, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let users = users(&query.unwrap_or_default())?;
    let presence = actor.presence(&users).await?;
    Ok(respond::ok(&PresenceBody { users: all(&presence) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(query: &str) -> Result<Vec<String>, &'static str> {
        let users = users(query).map_err(|problem| problem.code)?;
        Ok(users.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_comma_within_an_id_is_told_from_one_between_ids() {
        assert_eq!(named("users=ann,bob"), Ok(vec!["ann".to_owned(), "bob".to_owned()]));
        assert_eq!(named("x=1&users=a%2Cb,c%26d%3D=e"), Ok(vec!["a,b".to_owned(), "c&d==e".to_owned()]));
        assert_eq!(named("%75sers=%2B"), Ok(vec!["+".to_owned()]));
    }

    #[test]
    fn ids_that_are_none_and_a_missing_or_repeated_list_are_refused() {
        for query in
            ["", "users=", "user=ann", "users=a&users=b", "users=,", "users=a,", "users=a+b", "users=%FF"]
        {
            assert_eq!(named(query), Err("invalid_request"), "{query}");
        }
    }
}
