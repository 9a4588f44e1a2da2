//! What compression costs and saves: a page of 50 entries of history through the whole route, for clients that take
//! nothing, gzip or Brotli.
//!
//! `cargo bench -p chat-gateway --bench compression`
#![allow(clippy::unwrap_used, reason = "what cannot go on says why by panicking")]

use std::time::{Duration, Instant};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::Request,
};
use chat_core::{
    Chat, ClientMessageId, MemberChange, NewRoom, Role, RoomId, UserId,
    auth::{JwtAuth, JwtClaims, JwtConfig, JwtSigner},
    rate_limit::{LocalRateLimiter, RateLimits},
};
use chat_gateway::GatewayConfig;
use tower::ServiceExt;

const ROUNDS: u32 = 2_000;

/// Words as they are used in talk, so that the texts are no easier to compress than people's.
const WORDS: &str = "the of and a to in is you that it he was for on are as with his they I at be this have from or one \
    had by but not what all were we when your can said there use an each which she do how their if will up other about \
    out many then them these so some her would make like him into time has look two more write go see number no way \
    could people my than first water been call who oil its now find long down day did get come made may part okay \
    tomorrow meeting shipped invoice thanks question delivery Tuesday screenshot server price please";

fn text(length: usize) -> String {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut text = String::new();
    while text.len() < length {
        text.push_str(words[fastrand::usize(..words.len())]);
        text.push(' ');
    }
    text
}

async fn routes() -> (Router, String) {
    let signer = JwtSigner::hs256([7; 32]).unwrap();
    let jwt = JwtConfig::new([signer.key().unwrap()]).with_any_audience();
    let chat = Chat::builder()
        .memory()
        .auth(JwtAuth::new(jwt).unwrap())
        .limiter(LocalRateLimiter::new(&RateLimits::unlimited()))
        .build()
        .unwrap();
    let system = chat.system(UserId::new("system").unwrap());
    let room = RoomId::new("general").unwrap();
    system.create_room(NewRoom::new(room.clone())).await.unwrap();
    let ann = UserId::new("ann").unwrap();
    system.change_member(&room, MemberChange::add(ann.clone(), Role::Member)).await.unwrap();
    for number in 0..50 {
        let sender = chat.system(UserId::new(["ann", "bob", "cy"][number % 3]).unwrap());
        sender.send_text(&room, ClientMessageId::generate(), &text(20 + number * 37 % 160)).await.unwrap();
    }
    (chat_gateway::router(chat, GatewayConfig::new()), signer.sign(&JwtClaims::new(ann)).unwrap())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    fastrand::seed(7);
    let (routes, token) = routes().await;
    println!("{:>10} {:>8} {:>10}", "encoding", "bytes", "per page");
    for encoding in ["identity", "gzip", "br"] {
        let mut bytes = 0;
        let mut times: Vec<Duration> = Vec::new();
        for _ in 0..ROUNDS {
            let request = Request::get("/rooms/general/messages?limit=50")
                .header("authorization", format!("Bearer {token}"))
                .header("accept-encoding", encoding)
                .body(Body::empty())
                .unwrap();
            let started = Instant::now();
            let response = routes.clone().oneshot(request).await.unwrap();
            bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap().len();
            times.push(started.elapsed());
        }
        times.sort();
        println!("{encoding:>10} {bytes:>8} {:>10.1?}", times[times.len() / 2]);
    }
}
