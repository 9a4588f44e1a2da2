//! A message log of one's own behind the library's chat. `cargo run -p example-custom-backend -- chat.jsonl` says something in a room, twice, since
//! nobody knows whether it arrived, and shows what was said there in this run and in those before:
//!
//! ```text
//! stored as number 2; sent again, it is number 2
//! 2 ann: hello
//! ```

use std::path::PathBuf;

use anyhow::Context;
use chat_core::{
    Body, Chat, ClientMessageId, MemberChange, NewRoom, ReadQuery, Role, RoomId, UserId,
    auth::{JwtAuth, JwtConfig, JwtKey},
};
use clap::Parser;
use example_custom_backend::FileStore;

/// Says something in a room, twice, and shows what was said there in this run and in those before.
#[derive(Parser)]
struct Arguments {
    /// Where it is kept: one message a line.
    #[arg(default_value = "chat.jsonl")]
    file: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { file } = Arguments::parse();
    let store = FileStore::open(&file).with_context(|| file.display().to_string())?;
    // Nobody connects here, so that no secret has to be kept.
    let secret: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(32).collect();
    let auth = JwtAuth::new(JwtConfig::new([JwtKey::hs256(secret)?]))?;
    let chat = Chat::builder().memory().log(store.clone()).rooms(store).auth(auth).build()?;

    let (service, user, room) =
        (chat.system(UserId::new("service")?), UserId::new("ann")?, RoomId::new("general")?);
    service.create_room(NewRoom::new(room.clone())).await?;
    service.change_member(&room, MemberChange::add(user.clone(), Role::Member)).await?;
    let (ann, name) = (chat.system(user), ClientMessageId::generate());
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let sent = ann.send_text(&room, name.clone(), "hello").await?;
        numbers.push(sent.position.context("the log answers once it has stored")?.cursor.seq);
    }
    println!("stored as number {}; sent again, it is number {}", numbers[0], numbers[1]);
    for entry in ann.history(&room, ReadQuery::newest()).await?.entries {
        if let Some(Body::Text(text)) = entry.content.body() {
            println!("{} {}: {text}", entry.seq(), entry.sender);
        }
    }
    Ok(())
}
