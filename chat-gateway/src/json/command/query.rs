//! Which part of a room's log is asked for, in frames and in addresses.

use chat_core::{Place, ReadFrom, ReadQuery, View};

/// A place in a log: a cursor, or the id of a message.
fn parse_place(text: &str) -> Result<Place, String> {
    if text.contains('.') {
        text.parse().map(Place::Cursor).map_err(|error| format!("{error}"))
    } else {
        text.parse().map(Place::Id).map_err(|error| format!("{error}"))
    }
}

/// What part of a room is asked for; `before` and `after` exclude each other.
pub(crate) fn read_query(
    before: Option<&str>,
    after: Option<&str>,
    view: Option<&str>,
    limit: Option<usize>,
) -> Result<ReadQuery, String> {
    let place = |name: &str, text: &str| parse_place(text).map_err(|error| format!("`{name}`: {error}"));
    let from = match (before, after) {
        (Some(_), Some(_)) => return Err("`before` and `after` exclude each other".to_owned()),
        (Some(before), None) => ReadFrom::Before(place("before", before)?),
        (None, Some(after)) => ReadFrom::After(place("after", after)?),
        (None, None) => ReadFrom::Newest,
    };
    let view = match view {
        None | Some("timeline") => View::Timeline,
        Some("log") => View::Log,
        Some(_) => return Err("`view`: \"timeline\" or \"log\"".to_owned()),
    };
    let query = ReadQuery::new(from).with_view(view);
    Ok(match limit {
        Some(limit) => query.with_limit(limit),
        None => query,
    })
}
