use anyhow::Result;

use super::{Opened, Seat, connect};

pub(super) async fn open(seat: &Seat) -> Result<Opened> {
    let url = format!("{}/{}", seat.server.trim_end_matches('/'), seat.room);
    Ok(Opened { socket: connect(&url, None).await?, position: None, backlog: Vec::new() })
}
