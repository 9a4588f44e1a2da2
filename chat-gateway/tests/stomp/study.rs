//! Study-group rooms: `/topic/chatroom/{id}`, `/app/chat.sendMessage`, `/user/{id}/queue/errors`.

use std::{net::SocketAddr, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use chat_core::{
    Body, Chat, ChatBuilder, ClientMessageId, Content, JsonText, MemberChange, NewRoom, Role, RoomId,
    Session, Settings, StoredMessage, UserId,
    auth::{JwtAuth, JwtClaims, JwtConfig, JwtSigner},
    rate_limit::{LocalRateLimiter, RateLimits},
};
use chat_gateway::{
    Problem,
    sockjs::SockJsConfig,
    stomp::{self, ChatApplication, Destinations, QueueMessage, Route, SendFrame, StompConfig},
};
use serde_json::{Value, json};

struct Study;

fn number(value: &Value, name: &str) -> Result<u64, Problem> {
    value[name].as_u64().ok_or_else(|| Problem::invalid(format!("{name} must be a number")))
}

#[async_trait]
impl Destinations for Study {
    fn route(&self, user: &UserId, destination: &str) -> Result<Route, Problem> {
        if let Some(room) = destination.strip_prefix("/topic/chatroom/") {
            let room = RoomId::new(room).map_err(|error| Problem::invalid(error.to_string()))?;
            return Ok(Route::Room(room));
        }
        match destination.strip_prefix("/user/").and_then(|rest| rest.split_once("/queue/")) {
            Some((id, "errors")) if id == user.as_str() => Ok(Route::Queue("errors".to_owned())),
            Some(_) => Err(Problem::new("forbidden", "this queue is somebody else's")),
            None => Err(Problem::new("not_found", "there is no such destination")),
        }
    }

    async fn send(&self, session: &Session, frame: &SendFrame) -> Result<(), Problem> {
        let kind = match frame.destination() {
            "/app/chat.sendMessage" => "CHAT",
            "/app/chat.join" => "JOIN",
            "/app/chat.leave" => "LEAVE",
            _ => return Err(Problem::new("not_found", "there is no such destination")),
        };
        let body: Value = serde_json::from_str(frame.text()?)
            .map_err(|_| Problem::new("malformed", "the body is not JSON"))?;
        let sender = number(&body, "senderId")?;
        if sender.to_string() != session.user().as_str() {
            return Err(Problem::new("forbidden", "senderId is somebody else"));
        }
        let room = RoomId::new(&number(&body, "chatRoomId")?.to_string())
            .map_err(|error| Problem::invalid(error.to_string()))?;
        let client_id = match body["clientMsgId"].as_str() {
            Some(id) => ClientMessageId::new(id).map_err(|error| Problem::invalid(error.to_string()))?,
            None => ClientMessageId::generate(),
        };
        let stored = json!({
            "senderId": sender, "senderNickname": body["senderNickname"], "content": body["content"],
            "messageType": kind,
        });
        let body = JsonText::new(&stored.to_string()).map_err(|error| Problem::invalid(error.to_string()))?;
        session.actor()?.send(&room, client_id, Content::Chat { body: Body::Json(body) }).await?;
        Ok(())
    }

    fn entry(&self, entry: &StoredMessage) -> Option<Bytes> {
        let Some(Body::Json(json)) = entry.content.body() else { return None };
        let mut body: Value = serde_json::from_str(json.as_str()).ok()?;
        body["chatRoomId"] = entry.room.as_str().parse::<u64>().ok()?.into();
        body["messageId"] = entry.seq().get().into();
        Some(body.to_string().into())
    }

    fn refused(&self, _: &UserId, problem: &Problem, _: &SendFrame) -> Option<QueueMessage> {
        let body = json!({ "code": problem.code, "message": problem.message });
        Some(QueueMessage::new("errors", body.to_string()))
    }
}

pub(crate) struct Server {
    pub(crate) chat: Chat,
    pub(crate) address: SocketAddr,
    signer: JwtSigner,
}

pub(crate) fn user(id: u64) -> UserId {
    UserId::new(&id.to_string()).unwrap()
}

pub(crate) fn room(id: u64) -> RoomId {
    RoomId::new(&id.to_string()).unwrap()
}

impl Server {
    /// With the users 1 and 2 in the room 7.
    pub(crate) async fn start() -> Self {
        Self::with(StompConfig::new(), Settings::default()).await
    }

    pub(crate) async fn with(config: StompConfig, settings: Settings) -> Self {
        Self::of(Chat::builder().memory(), config, settings).await
    }

    pub(crate) async fn of(builder: ChatBuilder, config: StompConfig, mut settings: Settings) -> Self {
        settings.announce_members = false;
        let signer = JwtSigner::hs256([7; 32]).unwrap();
        let jwt = JwtConfig::new([signer.key().unwrap()]).with_any_audience().with_leeway(Duration::ZERO);
        let chat = builder
            .auth(JwtAuth::new(jwt).unwrap())
            .limiter(LocalRateLimiter::new(&RateLimits::unlimited()))
            .settings(settings)
            .build()
            .unwrap();
        let system = chat.system(UserId::new("system").unwrap());
        system.create_room(NewRoom::new(room(7))).await.unwrap();
        for id in [1, 2] {
            system.change_member(&room(7), MemberChange::add(user(id), Role::Member)).await.unwrap();
        }
        let application = || ChatApplication::new(chat.clone(), Study);
        let routes = axum::Router::new()
            .route("/stomp", stomp::websocket(application(), config.clone()))
            .merge(stomp::sockjs_router("/ws-chat", SockJsConfig::new(), application(), config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { chat, address, signer }
    }

    pub(crate) fn token(&self, id: u64) -> String {
        self.signer.sign(&JwtClaims::new(user(id))).unwrap()
    }

    pub(crate) fn token_for(&self, claims: &JwtClaims) -> String {
        self.signer.sign(claims).unwrap()
    }

    /// Stores a message of the user 2.
    pub(crate) async fn say(&self, content: &str) {
        let stored = json!({ "senderId": 2, "content": content, "messageType": "CHAT" });
        let body = Body::Json(JsonText::new(&stored.to_string()).unwrap());
        let actor = self.chat.system(user(2));
        actor.send(&room(7), ClientMessageId::generate(), Content::Chat { body }).await.unwrap();
    }
}
