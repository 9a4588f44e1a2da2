//! The text of the stream: <https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>.

use std::{io::Write as _, time::Duration};

use super::positions::Positions;
use crate::problem::millis;

/// Gathers events as they go over the wire.
#[derive(Debug, Default)]
pub(super) struct Text {
    bytes: Vec<u8>,
    frames: u64,
}

impl Text {
    /// How long the client waits before it opens the stream again.
    pub(super) fn retry(&mut self, after: Duration) {
        let _ = write!(self.bytes, "retry: {}\n\n", millis(after));
    }

    /// Something to write when there is nothing to say.
    pub(super) fn comment(&mut self) {
        self.bytes.extend_from_slice(b":\n\n");
    }

    /// The first frame of a stream. It repeats the positions the client came with: some clients forget the last id with
    /// each connection, and would not get it back before the first entry.
    pub(super) fn first_frame(&mut self, positions: &Positions, json: &[u8]) {
        if positions.are_known() { self.frame_at(positions, json) } else { self.frame(json) }
    }

    /// A frame that moves no position.
    pub(super) fn frame(&mut self, json: &[u8]) {
        // JSON that a client wrote may be spread over lines; to JSON they are spaces, here they would end the event.
        for line in json.split(|byte| matches!(byte, b'\n' | b'\r')) {
            self.bytes.extend_from_slice(b"data: ");
            self.bytes.extend_from_slice(line);
            self.bytes.push(b'\n');
        }
        self.bytes.push(b'\n');
        self.frames += 1;
    }

    /// A frame after which the stream stands here.
    pub(super) fn frame_at(&mut self, positions: &Positions, json: &[u8]) {
        // Writing to memory does not fail.
        let _ = writeln!(self.bytes, "id: {positions}");
        self.frame(json);
    }

    /// The last frame of a stream that is not to be opened again by itself.
    pub(super) fn last_frame(&mut self, positions: &Positions, json: &[u8]) {
        let _ = writeln!(self.bytes, "id: {}", positions.over());
        self.frame(json);
    }

    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What was gathered, and how many frames are in it.
    pub(super) fn take(&mut self) -> (Vec<u8>, u64) {
        (std::mem::take(&mut self.bytes), std::mem::take(&mut self.frames))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn lines_in_json_do_not_end_the_event() {
        let mut text = Text::default();
        text.frame(b"{\"a\":\r\n1,\n\"b\":\r2}");
        let (bytes, frames) = text.take();
        assert_eq!(bytes, b"data: {\"a\":\ndata: \ndata: 1,\ndata: \"b\":\ndata: 2}\n\n");
        assert_eq!((frames, text.len()), (1, 0));
    }

    #[test]
    fn the_first_frame_has_an_id_where_a_position_is_known() {
        let room = chat_core::RoomId::generate();
        for (cursor, lines) in [(None, 1), ("e.1".parse().ok(), 2)] {
            let mut text = Text::default();
            text.first_frame(&Positions::new(BTreeMap::from([(room.clone(), cursor)])), b"{}");
            let written = String::from_utf8(text.take().0).unwrap();
            assert_eq!(written.trim_end().lines().count(), lines, "{written}");
        }
    }

    #[test]
    fn an_id_stands_before_its_frame() {
        let positions = Positions::new(BTreeMap::new());
        let mut text = Text::default();
        text.retry(Duration::from_millis(1_500));
        text.frame_at(&positions, b"{}");
        text.comment();
        text.last_frame(&positions, b"{}");
        let written = String::from_utf8(text.take().0).unwrap();
        assert_eq!(
            written,
            format!("retry: 1500\n\nid: {positions}\ndata: {{}}\n\n:\n\nid: {positions}!\ndata: {{}}\n\n")
        );
    }
}
