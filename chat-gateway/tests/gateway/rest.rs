//! Every route of REST.

use std::sync::Arc;

use chat_core::rate_limit::{LocalRateLimiter, Quota, RateLimits};
use chat_gateway::GatewayConfig;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{Server, settings};

struct Http {
    server: Server,
    client: reqwest::Client,
}

impl Http {
    async fn start() -> Self {
        Self { server: Server::start().await, client: reqwest::Client::new() }
    }

    async fn call(&self, who: &str, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let request = self.client.request(method, self.server.url(path)).bearer_auth(self.server.token(who));
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let response = request.send().await.unwrap();
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            assert_eq!(response.headers()["content-type"], "application/problem+json");
        }
        let text = response.text().await.unwrap();
        let body: Value = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
        if status.is_client_error() || status.is_server_error() {
            assert_eq!(body["status"], status.as_u16());
            for field in ["title", "detail", "code"] {
                assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{body}");
            }
        }
        (status, body)
    }

    async fn get(&self, who: &str, path: &str) -> Value {
        let (status, body) = self.call(who, Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn code(&self, who: &str, method: Method, path: &str, body: Option<Value>) -> (u16, String) {
        let (status, body) = self.call(who, method, path, body).await;
        (status.as_u16(), body["code"].as_str().unwrap_or_default().to_owned())
    }
}

#[tokio::test]
async fn rooms_and_members_are_managed() {
    let http = Http::start().await;
    let create = json!({"key": "study:1", "metadata": {"name": "Study"}, "maxBodyChars": 50});
    let (status, room) = http.call("ann", Method::POST, "/rooms", Some(create.clone())).await;
    assert_eq!(status, 201);
    assert_eq!(
        (&room["key"], &room["maxBodyChars"], &room["active"]),
        (&json!("study:1"), &json!(50), &json!(true))
    );
    let (status, again) = http.call("ann", Method::POST, "/rooms", Some(create)).await;
    assert_eq!((status.as_u16(), &again["id"]), (200, &room["id"]));
    let path = format!("/rooms/{}", room["id"].as_str().unwrap());
    assert_eq!(http.get("ann", &path).await["metadata"]["name"], "Study");
    let (status, changed) =
        http.call("ann", Method::PATCH, &path, Some(json!({"metadata": {"name": "Other"}}))).await;
    assert_eq!((status.as_u16(), &changed["metadata"]["name"]), (200, &json!("Other")));
    let member = |user: &str| format!("{path}/members/{user}");
    let (status, bob) =
        http.call("ann", Method::PUT, &member("bob"), Some(json!({"role": "moderator"}))).await;
    assert_eq!((status.as_u16(), &bob["user"], &bob["role"]), (201, &json!("bob"), &json!("moderator")));
    let (status, _) = http.call("ann", Method::PUT, &member("cy"), None).await;
    assert_eq!(status, 201);
    let members = http.get("bob", &format!("{path}/members?limit=2")).await;
    assert_eq!((members["members"].as_array().unwrap().len(), &members["next"]), (2, &json!("bob")));
    let members = http.get("bob", &format!("{path}/members?after=bob")).await;
    assert_eq!(members["members"][0]["user"], "cy");
    let (status, _) = http.call("bob", Method::DELETE, &member("cy"), None).await;
    assert_eq!(status, 204);
    assert_eq!(http.code("cy", Method::GET, &path, None).await, (403, "not_a_member".into()));
    assert_eq!(http.call("bob", Method::DELETE, &member("me"), None).await.0, 204);
    let rooms = http.get("ann", "/rooms?limit=1").await;
    assert_eq!(rooms["rooms"].as_array().unwrap().len(), 1);
    let next = rooms["next"].as_str().unwrap();
    let rooms = http.get("ann", &format!("/rooms?limit=1&after={next}")).await;
    assert_eq!((rooms["rooms"].as_array().unwrap().len(), &rooms["next"]), (1, &Value::Null));
    assert_eq!(
        http.code("ann", Method::POST, "/rooms", Some(json!({"id": "general", "key": "k"}))).await,
        (409, "room_exists".into())
    );
}

#[tokio::test]
async fn a_rooms_only_owner_stays_until_there_is_another() {
    let http = Http::start().await;
    assert_eq!(http.call("ann", Method::POST, "/rooms", Some(json!({"id": "team"}))).await.0, 201);
    let member = |user: &str| format!("/rooms/team/members/{user}");
    let role = |role: &str| Some(json!({"role": role}));
    assert_eq!(http.call("ann", Method::PUT, &member("bob"), role("moderator")).await.0, 201);
    let refused = (409, "last_owner".to_owned());
    assert_eq!(http.code("ann", Method::DELETE, &member("me"), None).await, refused);
    assert_eq!(http.code("ann", Method::PUT, &member("ann"), role("member")).await, refused);
    assert_eq!(http.call("ann", Method::PUT, &member("bob"), role("owner")).await.0, 200);
    assert_eq!(http.call("ann", Method::DELETE, &member("me"), None).await.0, 204);
    assert_eq!(http.code("bob", Method::PUT, &member("me"), role("reader")).await, refused);
    // Nobody is left behind.
    assert_eq!(http.call("bob", Method::DELETE, &member("me"), None).await.0, 204);
}

#[tokio::test]
async fn messages_are_sent_read_found_and_marked() {
    let http = Http::start().await;
    let messages = "/rooms/general/messages";
    let send = |text: &str| Some(json!({"clientId": text, "text": format!("{text} apples")}));
    for (text, seq) in [("one", 1), ("two", 2), ("three", 3)] {
        let (status, sent) = http.call("ann", Method::POST, messages, send(text)).await;
        assert_eq!((status.as_u16(), &sent["seq"], &sent["clientId"]), (201, &json!(seq), &json!(text)));
    }
    let (status, sent) = http.call("ann", Method::POST, messages, send("one")).await;
    assert_eq!((status.as_u16(), &sent["duplicate"]), (200, &json!(true)));
    let page = http.get("bob", &format!("{messages}?limit=2")).await;
    let texts: Vec<&str> =
        page["entries"].as_array().unwrap().iter().map(|entry| entry["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["two apples", "three apples"]);
    assert_eq!((&page["reachesStart"], &page["reachesHead"]), (&json!(false), &json!(true)));
    let before = page["entries"][0]["id"].as_str().unwrap();
    let earlier = http.get("bob", &format!("{messages}?before={before}")).await;
    assert_eq!(earlier["entries"].as_array().unwrap().len(), 1);
    let first = earlier["entries"][0]["cursor"].as_str().unwrap();
    let log = http.get("bob", &format!("{messages}?after={first}&view=log")).await;
    assert_eq!(log["entries"].as_array().unwrap().len(), 2);
    assert_eq!(http.get("bob", "/rooms/general/unread").await, json!({"unread": 3}));
    let (status, marker) =
        http.call("bob", Method::PUT, "/rooms/general/read", Some(json!({"cursor": first}))).await;
    assert_eq!((status.as_u16(), &marker["user"], &marker["cursor"]), (200, &json!("bob"), &json!(first)));
    assert_eq!(http.get("bob", "/rooms/general/unread").await, json!({"unread": 2}));
    let markers = http.get("ann", "/rooms/general/read?limit=1").await;
    assert_eq!((&markers["markers"][0]["user"], &markers["next"]), (&json!("ann"), &json!("ann")));
    let found = http.get("bob", "/search?q=two&room=general").await;
    assert_eq!((found["messages"].as_array().unwrap().len(), &found["messages"][0]["seq"]), (1, &json!(2)));
    let found = http.get("bob", "/search?q=apples&limit=2").await;
    let next = found["next"].as_str().unwrap();
    let rest = http.get("bob", &format!("/search?q=apples&before={next}")).await;
    assert_eq!(rest["messages"].as_array().unwrap().len(), 1);
    let presence = http.get("bob", "/presence?users=ann,bob").await;
    assert_eq!(
        (&presence["users"][0]["user"], &presence["users"][1]["online"]),
        (&json!("ann"), &json!(false))
    );
    let (status, sent) = http
        .call("ann", Method::POST, messages, Some(json!({"clientId": "j", "json": {"n": 1}, "name": "poll"})))
        .await;
    assert_eq!((status.as_u16(), &sent["seq"]), (201, &json!(4)));
}

#[tokio::test]
async fn messages_are_edited_deleted_and_reacted_to() {
    let http = Http::start().await;
    let send = json!({"clientId": "c-1", "text": "helo"});
    let (_, sent) = http.call("ann", Method::POST, "/rooms/general/messages", Some(send)).await;
    let message = format!("/rooms/general/messages/{}", sent["id"].as_str().unwrap());
    let now = async || http.get("bob", "/rooms/general/messages").await["entries"][0].clone();

    let edit = json!({"clientId": "c-2", "text": "hello"});
    let (status, edited) = http.call("ann", Method::PATCH, &message, Some(edit.clone())).await;
    assert_eq!((status.as_u16(), &edited["seq"], &edited["duplicate"]), (200, &json!(2), &json!(false)));
    let (_, again) = http.call("ann", Method::PATCH, &message, Some(edit)).await;
    assert_eq!((&again["seq"], &again["duplicate"]), (&json!(2), &json!(true)));
    assert_eq!((&now().await["text"], &now().await["edited"]["seq"]), (&json!("hello"), &json!(2)));

    // As a browser writes it: percent-encoded UTF-8.
    let thumb = format!("{message}/reactions/%F0%9F%91%8D");
    let named = format!("{thumb}?clientId=c-3");
    for duplicate in [false, true] {
        let (status, sent) = http.call("bob", Method::PUT, &named, None).await;
        assert_eq!(
            (status.as_u16(), &sent["clientId"], &sent["duplicate"]),
            (200, &json!("c-3"), &json!(duplicate))
        );
    }
    assert_eq!(http.call("bob", Method::PUT, &thumb, None).await.0, 200);
    assert_eq!(now().await["reactions"], json!([{"key": "👍", "count": 1, "users": ["bob"]}]));
    assert_eq!(http.call("bob", Method::DELETE, &thumb, None).await.0, 200);
    assert_eq!(now().await["reactions"], Value::Null);

    for (method, path, body, status, code) in [
        (Method::PATCH, &*message, Some(json!({"clientId": "c", "text": "mine"})), 403, "target_not_own"),
        (Method::DELETE, &message, None, 403, "target_not_own"),
        (
            Method::PATCH,
            "/rooms/general/messages/01J00000000000000000000000",
            Some(json!({"clientId": "c", "text": "x"})),
            404,
            "target_not_found",
        ),
        (Method::DELETE, "/rooms/general/messages/nothing", None, 400, "invalid_request"),
        (Method::PATCH, &message, Some(json!({"clientId": "c"})), 400, "invalid_request"),
        (Method::PUT, &format!("{message}/reactions/{}", "x".repeat(65)), None, 400, "invalid_request"),
    ] {
        assert_eq!(http.code("bob", method, path, body).await, (status, code.into()), "{path}");
    }
    for _ in 0..2 {
        assert_eq!(http.call("ann", Method::DELETE, &message, None).await.0, 200);
    }
    let gone = now().await;
    assert_eq!((&gone["deleted"], &gone["text"]), (&json!(true), &Value::Null));
}

#[tokio::test]
async fn refusals_name_the_field_and_the_bound() {
    let http = Http::start().await;
    let messages = "/rooms/general/messages";
    let big = json!({"clientId": "c", "text": "x".repeat(70_000)});
    for (method, path, body, named) in [
        (Method::POST, messages, Some(json!({"clientId": 1, "text": "x"})), "`clientId`"),
        (Method::POST, messages, Some(json!({"clientId": "a b", "text": "x"})), "`clientId`"),
        (Method::POST, messages, Some(json!({"text": "x"})), "`clientId`"),
        (Method::POST, messages, Some(json!({"clientId": "c", "text": {"a": 1}})), "`text`"),
        (Method::POST, "/rooms", Some(json!({"metadata": "x"})), "`metadata`"),
        (Method::PUT, "/rooms/general/members/cy", Some(json!({"role": "king"})), "`role`"),
        (Method::POST, messages, Some(big), "65536 bytes"),
        (Method::GET, "/search?q=%20", None, "`q`: is empty"),
    ] {
        let (status, body) = http.call("ann", method, path, body).await;
        let detail = body["detail"].as_str().unwrap();
        assert!(status.is_client_error() && detail.contains(named), "{path}: {named} in {detail}");
    }
    let (_, sent) =
        http.call("ann", Method::POST, messages, Some(json!({"clientId": "j", "json": [1.0]}))).await;
    assert_eq!(sent["duplicate"], false, "JSON of any shape is taken as it is: {sent}");
}

#[tokio::test]
async fn refusals_are_problems() {
    let http = Http::start().await;
    let messages = "/rooms/general/messages";
    let big = json!({"clientId": "c", "text": "x".repeat(70_000)});
    for (who, method, path, body, status, code) in [
        ("ann", Method::GET, "/nowhere", None, 404, "not_found"),
        ("ann", Method::DELETE, "/rooms", None, 405, "method_not_allowed"),
        ("ann", Method::GET, "/rooms/two%20words", None, 400, "invalid_request"),
        ("ann", Method::GET, "/rooms?limit=x", None, 400, "invalid_request"),
        ("ann", Method::GET, "/rooms?after=x", None, 400, "invalid_request"),
        ("ann", Method::GET, "/search", None, 400, "invalid_request"),
        ("ann", Method::GET, "/presence?users=a%20b", None, 400, "invalid_request"),
        ("ann", Method::GET, "/ws", None, 426, "upgrade_required"),
        ("ann", Method::POST, messages, Some(json!({"clientId": "c"})), 400, "invalid_request"),
        ("ann", Method::POST, messages, Some(json!({"clientId": 1, "text": "x"})), 400, "invalid_request"),
        ("ann", Method::POST, messages, Some(json!({"clientId": "c", "text": " "})), 422, "body_blank"),
        ("ann", Method::POST, messages, Some(big), 413, "body_too_large"),
        ("cy", Method::POST, messages, Some(json!({"clientId": "c", "text": "x"})), 403, "not_a_member"),
        ("ann", Method::PATCH, "/rooms/general", Some(json!({"active": false})), 403, "forbidden"),
        ("ann", Method::PUT, "/rooms/general/members/cy", None, 403, "forbidden"),
        (
            "ann",
            Method::GET,
            "/rooms/general/messages?before=01J00000000000000000000000",
            None,
            404,
            "message_not_found",
        ),
        ("ann", Method::GET, "/rooms/general/messages?after=other.3", None, 409, "cursor_reset"),
    ] {
        assert_eq!(http.code(who, method, path, body).await, (status, code.to_owned()), "{path}");
    }
    let plain =
        http.client.get(http.server.url("/ws")).bearer_auth(http.server.token("ann")).send().await.unwrap();
    let says = |name| plain.headers()[name].to_str().unwrap();
    assert_eq!(
        [says("upgrade"), says("connection"), says("sec-websocket-version")],
        ["websocket", "upgrade", "13"]
    );
    let post = http.client.post(http.server.url(messages)).bearer_auth(http.server.token("ann"));
    let wrong = post.try_clone().unwrap().body("text").send().await.unwrap();
    assert_eq!(wrong.status(), 415);
    let wrong = post.header("content-type", "application/json").body("{").send().await.unwrap();
    assert_eq!(wrong.status(), 400);
    assert_eq!(wrong.json::<Value>().await.unwrap()["code"], "malformed");
    for authorization in [None, Some("Basic eDp5"), Some("Bearer rubbish")] {
        let mut request = http.client.get(http.server.url("/rooms"));
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let refused = request.send().await.unwrap();
        assert_eq!(refused.status(), 401);
        assert_eq!(refused.headers()["www-authenticate"], "Bearer");
        assert_eq!(refused.json::<Value>().await.unwrap()["code"], "unauthenticated");
    }
}

#[tokio::test]
async fn too_many_requests_are_told_when_to_come_back() {
    let limits = RateLimits::unlimited().with_user_reads(Some(Quota::new(1, 1)));
    let server = Server::build(settings(), GatewayConfig::new(), |builder| {
        builder.limiter(LocalRateLimiter::new(&limits))
    })
    .await;
    let http = Http { server, client: reqwest::Client::new() };
    http.get("ann", "/rooms").await;
    let request = http.client.get(http.server.url("/rooms")).bearer_auth(http.server.token("ann"));
    let refused = request.send().await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"1".parse().unwrap()));
    assert!(refused.json::<Value>().await.unwrap()["retryAfterMs"].as_u64().unwrap() <= 1_000);
}

#[tokio::test]
async fn health_and_metrics_need_no_token() {
    let http = Http::start().await;
    let health = http.client.get(http.server.url("/health")).send().await.unwrap();
    assert_eq!(health.status(), 200);
    let health = health.json::<Value>().await.unwrap();
    assert_eq!((&health["status"], &health["parts"]["log"]["status"]), (&json!("ok"), &json!("ok")));
    assert_eq!(http.client.get(http.server.url("/metrics")).send().await.unwrap().status(), 404);
    let config = GatewayConfig::new().with_metrics(Arc::new(|| "chat_up 1\n".to_owned()));
    let server = Server::build(settings(), config, |builder| builder).await;
    let metrics = http.client.get(server.url("/metrics")).send().await.unwrap();
    assert_eq!(metrics.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(metrics.text().await.unwrap(), "chat_up 1\n");
}
