use std::{collections::BTreeMap, fmt};

use chat_core::{Cursor, RoomId, auth::Credentials};

use super::positions::Positions;
use crate::Problem;

/// What a client asks a stream of.
#[derive(Clone)]
pub struct StreamRequest {
    pub(super) positions: Positions,
    pub(super) page: Option<usize>,
    token: Option<Credentials>,
    over: bool,
}

impl StreamRequest {
    /// Reads the query, and the `Last-Event-ID` header that a browser sends when it opens a stream again. The header
    /// counts for more than what the query says of positions: the query is as old as the first opening.
    ///
    /// # Errors
    /// What is wrong with them, to be answered with status 400.
    pub fn parse(query: &str, last_event_id: Option<&str>) -> Result<Self, Problem> {
        let mut rooms: Vec<RoomId> = Vec::new();
        let (mut cursors, mut id, mut token, mut page) = (None, None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "rooms" => {
                    for room in value.split(',').filter(|room| !room.is_empty()) {
                        rooms.push(room_id(room)?);
                    }
                }
                // One room, which may have a comma in its name.
                "room" => rooms.push(room_id(&value)?),
                "cursors" if !value.is_empty() => cursors = Some(read_cursors(&value)?),
                "last_event_id" => id = Some(value.into_owned()),
                "limit" => {
                    page = Some(value.parse().map_err(|_| Problem::invalid("`limit` must be a number"))?);
                }
                "access_token" => token = Some(Credentials::token(&*value)),
                _ => {}
            }
        }
        let cursors = match cursors {
            Some(cursors) if cursors.len() != rooms.len() => {
                return Err(Problem::invalid(
                    "`cursors` needs one for each room, or nothing between its commas",
                ));
            }
            Some(cursors) => cursors,
            None => vec![None; rooms.len()],
        };
        let mut followed = BTreeMap::new();
        for (room, cursor) in rooms.into_iter().zip(cursors) {
            if followed.insert(room, cursor).is_some() {
                return Err(Problem::invalid("a room is named twice"));
            }
        }
        let mut positions = Positions::new(followed);
        let header = last_event_id.filter(|id| !id.is_empty());
        let mut over = false;
        if let Some(id) = header.or(id.as_deref().filter(|id| !id.is_empty())) {
            let ended = positions.resume(id).map_err(|_| {
                Problem::invalid("the last event id is none of this server's, or was given for other rooms")
            })?;
            // Only a browser that opens a stream again by itself sends the header; a page that means it puts the id
            // into the query.
            over = ended && header.is_some();
        }
        Ok(Self { positions, page, token, over })
    }

    /// The token of the query, if there is one: pages cannot set headers on an `EventSource`.
    #[must_use]
    pub fn token(&self) -> Option<&Credentials> {
        self.token.as_ref()
    }

    /// The stream ended for good and a browser opens it again all the same: to be answered with status 204, which makes it
    /// stop.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.over
    }
}

impl fmt::Debug for StreamRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamRequest")
            .field("rooms", self.positions.rooms())
            .field("page", &self.page)
            .field("token", &self.token.is_some())
            .field("over", &self.over)
            .finish()
    }
}

fn room_id(text: &str) -> Result<RoomId, Problem> {
    RoomId::new(text).map_err(|error| Problem::invalid(format!("`rooms`: {error}")))
}

fn read_cursors(text: &str) -> Result<Vec<Option<Cursor>>, Problem> {
    let read = |cursor: &str| if cursor.is_empty() { Ok(None) } else { cursor.parse().map(Some) };
    let cursors: Result<_, _> = text.split(',').map(read).collect();
    cursors.map_err(|error| Problem::invalid(format!("`cursors`: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(query: &str, header: Option<&str>) -> Vec<(String, Option<String>)> {
        let request = StreamRequest::parse(query, header).unwrap();
        let text = |cursor: &Cursor| cursor.to_string();
        request.positions.rooms().iter().map(|(room, at)| (room.to_string(), at.as_ref().map(text))).collect()
    }

    fn pairs(pairs: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
        pairs.iter().map(|(room, cursor)| ((*room).to_owned(), cursor.map(str::to_owned))).collect()
    }

    fn refused(query: &str, header: Option<&str>) -> String {
        let problem = StreamRequest::parse(query, header).unwrap_err();
        assert_eq!((problem.code, problem.status()), ("invalid_request", 400));
        problem.message
    }

    #[test]
    fn rooms_are_named_in_a_list_or_one_by_one() {
        assert_eq!(parsed("", None), []);
        assert_eq!(parsed("rooms=&other=1", None), []);
        assert_eq!(parsed("rooms=b,a,", None), pairs(&[("a", None), ("b", None)]));
        assert_eq!(parsed("rooms=b%2Ca&room=c,d", None), pairs(&[("a", None), ("b", None), ("c,d", None)]));
    }

    #[test]
    fn each_room_has_its_cursor_or_none() {
        let expected = pairs(&[("a", Some("e.1")), ("b", None), ("c", Some("f.2"))]);
        assert_eq!(parsed("rooms=b,a,c&cursors=,e.1,f.2", None), expected);
    }

    #[test]
    fn the_header_counts_for_more_than_the_query() {
        let id = |seq| {
            let request = StreamRequest::parse(&format!("rooms=a&cursors=e.{seq}"), None).unwrap();
            request.positions.to_string()
        };
        let query = format!("rooms=a&cursors=e.1&last_event_id={}", id(2));
        assert_eq!(parsed(&query, Some(&id(3))), pairs(&[("a", Some("e.3"))]));
        assert_eq!(parsed(&query, Some("")), pairs(&[("a", Some("e.2"))]));
        assert_eq!(parsed(&query, None), pairs(&[("a", Some("e.2"))]));
        assert_eq!(parsed("rooms=a&cursors=e.1&last_event_id=", None), pairs(&[("a", Some("e.1"))]));
    }

    #[test]
    fn only_a_browser_that_comes_back_by_itself_is_stopped() {
        let id = StreamRequest::parse("rooms=a&cursors=e.1", None).unwrap().positions.over();
        assert!(StreamRequest::parse("rooms=a", Some(&id)).unwrap().is_over());
        let again = StreamRequest::parse(&format!("rooms=a&last_event_id={id}"), None).unwrap();
        assert!(!again.is_over());
        assert_eq!(parsed("rooms=a", Some(&id)), pairs(&[("a", Some("e.1"))]));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let long = "x".repeat(129);
        for (query, header) in [
            ("rooms=a%20b", None),
            (&*format!("room={long}"), None),
            ("room=", None),
            ("rooms=a,a", None),
            ("rooms=a&room=a", None),
            ("rooms=a,b&cursors=e.1", None),
            ("rooms=a&cursors=e", None),
            ("rooms=a&limit=many", None),
            ("rooms=a&last_event_id=7", None),
            ("rooms=a", Some("7")),
        ] {
            assert!(!refused(query, header).is_empty(), "{query}");
        }
    }

    #[test]
    fn the_token_is_not_shown() {
        let request = StreamRequest::parse("access_token=secret-words", None).unwrap();
        assert!(request.token().is_some());
        assert!(!format!("{request:?}").contains("secret-words"));
    }
}
