//! A server over the memory backend, and a client of each kind.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use chat_core::{
    Chat, ChatBuilder, ClientMessageId, MemberChange, NewRoom, Role, RoomId, Settings, Storage as _, UserId,
    auth::{JwtAuth, JwtClaims, JwtConfig, JwtSigner, Revocable},
    memory::{MemoryFanout, MemoryPresence, MemoryRevocations, MemoryStore},
    rate_limit::{LocalRateLimiter, RateLimits},
};
use chat_gateway::{GatewayConfig, Limits};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message, client::IntoClientRequest, http},
};

pub(crate) struct Server {
    pub(crate) chat: Chat,
    pub(crate) address: SocketAddr,
    pub(crate) store: MemoryStore,
    signer: JwtSigner,
}

pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.announce_members = false;
    settings
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(crate) fn room() -> RoomId {
    RoomId::new("general").unwrap()
}

impl Server {
    /// With default settings, and `ann` and `bob` in the room `general`.
    pub(crate) async fn start() -> Self {
        Self::with(settings(), Limits::new()).await
    }

    pub(crate) async fn with(settings: Settings, limits: Limits) -> Self {
        Self::build(settings, GatewayConfig::new().with_limits(limits), |builder| builder).await
    }

    pub(crate) async fn build(
        settings: Settings,
        config: GatewayConfig,
        change: impl FnOnce(ChatBuilder) -> ChatBuilder,
    ) -> Self {
        let signer = JwtSigner::hs256([7; 32]).unwrap();
        let jwt = JwtConfig::new([signer.key().unwrap()]).with_any_audience().with_leeway(Duration::ZERO);
        let revocations = MemoryRevocations::new();
        let store = MemoryStore::new();
        let builder = Chat::builder()
            .log(store.message_log())
            .rooms(store.rooms())
            .search(store.search())
            .fanout(MemoryFanout::new())
            .presence(MemoryPresence::new())
            .auth(Revocable::new(JwtAuth::new(jwt).unwrap(), revocations.clone()))
            .revocations(revocations)
            .limiter(LocalRateLimiter::new(&RateLimits::unlimited()))
            .settings(settings);
        let chat = change(builder).build().unwrap();
        let system = chat.system(user("system"));
        system.create_room(NewRoom::new(room())).await.unwrap();
        for name in ["ann", "bob"] {
            system.change_member(&room(), MemberChange::add(user(name), Role::Member)).await.unwrap();
        }
        let routes = axum::Router::new().nest("/chat", chat_gateway::router(chat.clone(), config));
        // Small buffers, which its connections inherit: so that the server soon feels a client that does not read.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(32 * 1024).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(128).unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { chat, address, store, signer }
    }

    pub(crate) fn token(&self, name: &str) -> String {
        self.signer.sign(&JwtClaims::new(user(name))).unwrap()
    }

    pub(crate) fn token_for(&self, claims: &JwtClaims) -> String {
        self.signer.sign(claims).unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/chat{path}", self.address)
    }

    /// A socket without `connect`.
    pub(crate) async fn open(&self) -> Client {
        self.open_with(|_| {}).await.unwrap()
    }

    pub(crate) async fn open_with(
        &self,
        change: impl FnOnce(&mut http::Request<()>),
    ) -> Result<Client, tungstenite::Error> {
        let mut request = format!("ws://{}/chat/ws", self.address).into_client_request()?;
        change(&mut request);
        // A small window, so that a client that does not read is soon felt by the server.
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(8 * 1024)?;
        let stream = socket.connect(self.address).await?;
        let (socket, response) = tokio_tungstenite::client_async(request, stream).await?;
        Ok(Client { socket, response, kept: VecDeque::new(), last_id: 0 })
    }

    /// A connected client.
    pub(crate) async fn client(&self, name: &str) -> Client {
        let mut client = self.open().await;
        let connected = client.ask(json!({"type": "connect", "token": self.token(name)})).await;
        assert_eq!(connected["type"], "connected", "{connected}");
        client
    }

    /// A connected client that has joined the room.
    pub(crate) async fn joined(&self, name: &str) -> Client {
        let mut client = self.client(name).await;
        let joined = client.ask(json!({"type": "join", "room": "general"})).await;
        assert_eq!(joined["type"], "joined", "{joined}");
        client
    }

    /// Stores a message of bob's and answers its cursor.
    pub(crate) async fn say(&self, text: &str) -> String {
        let system = self.chat.system(user("bob"));
        let sent = system.send_text(&room(), ClientMessageId::generate(), text).await.unwrap();
        sent.position.unwrap().cursor.to_string()
    }
}

pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<TcpStream>,
    pub(crate) response: http::Response<Option<Vec<u8>>>,
    /// Frames that came while another was waited for.
    kept: VecDeque<Value>,
    last_id: u64,
}

impl Client {
    pub(crate) async fn send(&mut self, frame: Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    async fn read(&mut self) -> Option<Message> {
        tokio::time::timeout(Duration::from_secs(20), self.socket.next())
            .await
            .expect("a frame in time")
            .transpose()
            .expect("no broken connection")
    }

    async fn read_frame(&mut self) -> Value {
        loop {
            match self.read().await.expect("not closed") {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next frame in the order of their coming.
    pub(crate) async fn next(&mut self) -> Value {
        match self.kept.pop_front() {
            Some(frame) => frame,
            None => self.read_frame().await,
        }
    }

    /// The next frame of this type; others before it are passed over.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// Sends a command with an id and waits for its answer; what comes before that is kept.
    pub(crate) async fn ask(&mut self, mut frame: Value) -> Value {
        self.last_id += 1;
        frame["id"] = self.last_id.into();
        self.send(frame).await;
        loop {
            let frame = self.read_frame().await;
            if frame["reply"] == self.last_id {
                return frame;
            }
            self.kept.push_back(frame);
        }
    }

    /// Sends a command and answers the code of its refusal.
    pub(crate) async fn refused(&mut self, frame: Value) -> String {
        let error = self.ask(frame).await;
        assert_eq!(error["type"], "error", "{error}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
        assert!(error["retryable"].is_boolean());
        error["code"].as_str().unwrap().to_owned()
    }

    /// Reads to the end: the `closing` frame and the WebSocket's close code.
    pub(crate) async fn closing(&mut self) -> (Value, u16) {
        let closing = self.next_of("closing").await;
        loop {
            match self.read().await {
                Some(Message::Close(Some(close))) => {
                    assert_eq!(close.reason.as_str(), closing["code"].as_str().unwrap());
                    return (closing, close.code.into());
                }
                Some(Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The `seq` of the next entry.
    pub(crate) async fn next_seq(&mut self) -> u64 {
        self.next_of("entry").await["entry"]["seq"].as_u64().unwrap()
    }
}
