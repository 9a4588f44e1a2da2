//! What makes a message known wherever it turns up: `~room.number.time~` at the beginning of its text, of characters that no
//! protocol here writes otherwise.

use std::time::Duration;

/// Encloses a mark. Nothing else in a frame has it: names, ids and tokens are of letters, digits, `-`, `_` and `.`.
const EDGE: char = '~';

/// Which message this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The number of its room in this run.
    pub room: u32,
    /// Its own number among those sent to the room: 0, 1, 2 …
    pub number: u32,
    /// When it was meant to be sent, from the beginning of the run.
    pub meant_at: Duration,
}

impl Mark {
    /// A text of `size` bytes (or what the mark alone takes, if that is more).
    #[must_use]
    pub fn text(self, size: usize) -> String {
        let Self { room, number, meant_at } = self;
        let mut text = format!("{EDGE}{room}.{number}.{}{EDGE}", meant_at.as_micros());
        let filler = "please bring green tea to the meeting at noon tomorrow ".chars().cycle();
        let missing = size.saturating_sub(text.len());
        text.extend(filler.take(missing));
        text
    }

    fn parse(inside: &str) -> Option<Self> {
        let mut parts = inside.splitn(3, '.');
        let mut next = || parts.next()?.parse::<u64>().ok();
        let (room, number, micros) = (next()?, next()?, next()?);
        let meant_at = Duration::from_micros(micros);
        Some(Self { room: room.try_into().ok()?, number: number.try_into().ok()?, meant_at })
    }
}

/// Every mark in a frame, in its order.
pub fn find(frame: &str) -> impl Iterator<Item = Mark> + '_ {
    let mut rest = frame;
    std::iter::from_fn(move || {
        loop {
            let (_, behind) = rest.split_once(EDGE)?;
            let (inside, after) = behind.split_once(EDGE)?;
            if let Some(mark) = Mark::parse(inside) {
                rest = after;
                return Some(mark);
            }
            // That edge was of something else: perhaps the next one begins a mark.
            rest = behind;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_again_whatever_stands_around_them() {
        let mark = |number| Mark { room: 7, number, meant_at: Duration::from_micros(1_234_567) };
        let frame = format!("[\"~\",{{\"text\":\"{}\"}},\"{}\"]", mark(1).text(0), mark(2).text(200));
        assert_eq!(find(&frame).collect::<Vec<_>>(), [mark(1), mark(2)]);
        assert_eq!(mark(2).text(200).len(), 200);
        assert_eq!(find("{\"type\":\"heads\"}").count(), 0);
        assert_eq!(find("~1.2~").count(), 0);
    }
}
