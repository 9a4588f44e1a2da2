//! Who is there, by each gateway's account. All clients of a run are, but for the moments between two connections.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, bail};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    client::Person,
    http,
    pipeline::{Kind, Pipeline},
};

const LOOK: Duration = Duration::from_millis(500);

/// Waits until every gateway says of everybody that they are online. False where the protocol cannot be asked for it.
///
/// # Errors
/// Some gateway says otherwise, or nothing, for so long.
pub(crate) async fn is_right(pipeline: &Pipeline, within: Duration) -> Result<bool> {
    if !matches!(pipeline.kind, Kind::WriteThrough | Kind::HotLog) {
        return Ok(false);
    }
    let people: Vec<&Person> = pipeline.clients.iter().map(|client| &client.role.person).collect();
    let users: Vec<&str> = people.iter().map(|person| person.user.as_str()).collect();
    let Some(asking) = people.first() else { return Ok(false) };
    let path = format!("/chat/presence?users={}", users.join(","));
    let end = Instant::now() + within;
    for gateway in &pipeline.gateways {
        loop {
            let said = ask(*gateway, &path, &asking.token).await;
            if said.as_ref().is_ok_and(|users| users.len() == people.len() && users.iter().all(is_online)) {
                break;
            }
            if Instant::now() > end {
                bail!("one of its gateways says of who is there: {said:?}");
            }
            sleep(LOOK).await;
        }
    }
    Ok(true)
}

async fn ask(gateway: SocketAddr, path: &str, token: &str) -> Result<Vec<Value>> {
    let answer = http::done(gateway, "GET", path, token, None).await?;
    Ok(answer["users"].as_array().cloned().unwrap_or_default())
}

fn is_online(user: &Value) -> bool {
    user["online"] == true
}
