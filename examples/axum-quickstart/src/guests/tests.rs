use std::collections::BTreeSet;

use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use chat_core::{
    ChatBuilder,
    auth::{JwtAuth, JwtConfig},
    memory::MemoryRevocations,
};
use serde_json::Value;
use tower::ServiceExt;

use super::*;

async fn open() -> (Chat, Arc<Guests>) {
    open_with(|chat| chat).await
}

async fn open_with(parts: impl FnOnce(ChatBuilder) -> ChatBuilder + Send) -> (Chat, Arc<Guests>) {
    let signer = JwtSigner::hs256([7; 32]).unwrap();
    let auth = JwtAuth::new(JwtConfig::new([signer.key().unwrap()])).unwrap();
    let chat = parts(Chat::builder().memory().auth(auth)).build().unwrap();
    let guests = Guests::open(chat.clone(), signer, 280).await.unwrap();
    (chat, guests)
}

async fn answer(guests: &Arc<Guests>, mut request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([192, 0, 2, 1], 4_000))));
    let response = guests.clone().routes().oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = to_bytes(response.into_body(), 64 * 1024).await.unwrap();
    (status, headers, serde_json::from_slice(&body).unwrap_or_default())
}

async fn post_guest(guests: &Arc<Guests>, body: &str) -> (StatusCode, HeaderMap, Value) {
    let request = Request::post("/guest").header(header::CONTENT_TYPE, "application/json");
    answer(guests, request.body(Body::from(body.to_owned())).unwrap()).await
}

async fn get_renew(guests: &Arc<Guests>, authorization: &str) -> (StatusCode, HeaderMap, Value) {
    let request = Request::get("/guest/renew").header(header::AUTHORIZATION, authorization);
    answer(guests, request.body(Body::empty()).unwrap()).await
}

async fn delete_guest(guests: &Arc<Guests>, authorization: &str) -> (StatusCode, Value) {
    let request = Request::delete("/guest").header(header::AUTHORIZATION, authorization);
    let (status, _, body) = answer(guests, request.body(Body::empty()).unwrap()).await;
    (status, body)
}

async fn lobby_members(guests: &Guests) -> BTreeSet<String> {
    let page = guests.service.members(&guests.lobby, None, 1_000).await.unwrap();
    page.members.into_iter().map(|member| member.user.to_string()).collect()
}

#[tokio::test]
async fn a_guest_gets_a_token_that_holds_and_a_place_in_the_lobby() {
    let (chat, guests) = open().await;
    let (status, headers, guest) = post_guest(&guests, r#"{"name":" Zoë B "}"#).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    assert_eq!(guest["name"], "Zoë B");
    let user = guest["user"].as_str().unwrap();
    assert!(user.starts_with("Zo%C3%AB+B-"), "{user}");
    let credentials = Credentials::token(guest["token"].as_str().unwrap());
    let principal = chat.authenticate(&credentials).await.unwrap();
    assert_eq!(principal.user.as_str(), user);
    assert!(lobby_members(&guests).await.contains(user));
    let room = chat.actor(principal).room(&guests.lobby).await.unwrap();
    assert_eq!((room.max_body_chars, &room.metadata["name"]), (280, &json!("Lobby")));
}

#[tokio::test]
async fn two_guests_of_one_name_are_two_users() {
    let (_, guests) = open().await;
    let mut users = BTreeSet::new();
    for _ in 0..20 {
        let (_, _, guest) = post_guest(&guests, r#"{"name":"Ann"}"#).await;
        users.insert(guest["user"].as_str().unwrap().to_owned());
    }
    assert_eq!(users.len(), 20);
}

#[tokio::test]
async fn renewing_keeps_user_and_name() {
    let (chat, guests) = open().await;
    let (_, _, first) = post_guest(&guests, r#"{"name":"李小龙"}"#).await;
    let bearer = format!("Bearer {}", first["token"].as_str().unwrap());
    let (status, _, second) = get_renew(&guests, &bearer).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&second["user"], &second["name"]), (&first["user"], &first["name"]));
    assert_ne!(second["token"], first["token"]);
    let credentials = Credentials::token(second["token"].as_str().unwrap());
    assert_eq!(chat.authenticate(&credentials).await.unwrap().user.as_str(), first["user"]);
}

#[tokio::test]
async fn whoever_was_removed_does_not_get_back_in_by_renewing() {
    let (_, guests) = open().await;
    let (_, _, guest) = post_guest(&guests, r#"{"name":"Mallory"}"#).await;
    let user = UserId::new(guest["user"].as_str().unwrap()).unwrap();
    let bearer = format!("Bearer {}", guest["token"].as_str().unwrap());
    guests.service.change_member(&guests.lobby, MemberChange::remove(user)).await.unwrap();
    let (status, ..) = get_renew(&guests, &bearer).await;
    assert_eq!(status, StatusCode::OK);
    assert!(lobby_members(&guests).await.is_empty());
}

#[tokio::test]
async fn a_token_of_an_earlier_start_leads_into_the_new_lobby() {
    let (_, before) = open().await;
    let (_, _, guest) = post_guest(&before, r#"{"name":"Ann"}"#).await;
    let (_, after) = open().await;
    let bearer = format!("bearer {}", guest["token"].as_str().unwrap());
    let (status, ..) = get_renew(&after, &bearer).await;
    assert_eq!(status, StatusCode::OK);
    assert!(lobby_members(&after).await.contains(guest["user"].as_str().unwrap()));
}

#[tokio::test]
async fn refusals_are_problem_documents_with_a_code() {
    let (_, guests) = open().await;
    for (body, status, code) in [
        (r#"{"name":"<b>"}"#, 422, "invalid_name"),
        (r#"{"name":""}"#, 422, "invalid_name"),
        (r#"{"nick":"Ann"}"#, 400, "malformed"),
        ("Ann", 400, "malformed"),
    ] {
        let (answered, headers, problem) = post_guest(&guests, body).await;
        assert_eq!(answered.as_u16(), status, "{body}");
        assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(problem["code"], code);
        assert!(problem["detail"].is_string());
    }
    for authorization in ["Bearer nonsense", "Basic QTpC", "Bearer"] {
        let (status, headers, problem) = get_renew(&guests, authorization).await;
        assert_eq!((status.as_u16(), &problem["code"]), (401, &json!("unauthenticated")), "{authorization}");
        assert_eq!(headers[header::WWW_AUTHENTICATE], "Bearer");
    }
    assert!(lobby_members(&guests).await.is_empty());
}

#[tokio::test]
async fn a_body_that_is_no_json_or_too_large_is_refused_as_such() {
    let (_, guests) = open().await;
    let large = format!(r#"{{"name":"{}"}}"#, "x".repeat(3 * 1024 * 1024));
    for (kind, body, status, code) in [
        ("text/plain", r#"{"name":"Ann"}"#, 415, "unsupported_media_type"),
        ("application/json", &*large, 413, "body_too_large"),
    ] {
        let request = Request::post("/guest").header(header::CONTENT_TYPE, kind);
        let (answered, headers, problem) =
            answer(&guests, request.body(Body::from(body.to_owned())).unwrap()).await;
        assert_eq!(
            (answered.as_u16(), &problem["code"], &problem["status"]),
            (status, &json!(code), &json!(status))
        );
        assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
    }
    assert!(lobby_members(&guests).await.is_empty());
}

#[tokio::test]
async fn one_address_cannot_make_guests_without_end() {
    let (_, guests) = open().await;
    let address = IpAddr::from([192, 0, 2, 1]);
    let made = (0..10 * GUESTS_PER_MINUTE.get()).take_while(|_| guests.may_create(address).is_ok()).count();
    assert!((120..240).contains(&made), "{made}");
    let (status, headers, problem) = post_guest(&guests, r#"{"name":"Ann"}"#).await;
    assert_eq!((status.as_u16(), &problem["code"]), (429, &json!("rate_limited")));
    assert_eq!(problem["retryable"], true);
    let wait: u64 = headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    guests.may_create(IpAddr::from([192, 0, 2, 2])).unwrap();
}

#[tokio::test]
async fn whoever_leaves_has_no_token_that_holds() {
    let (chat, guests) = open_with(|chat| chat.revocations(MemoryRevocations::new())).await;
    let (_, _, ann) = post_guest(&guests, r#"{"name":"Ann"}"#).await;
    let (_, _, bob) = post_guest(&guests, r#"{"name":"Bob"}"#).await;
    let bearer = |guest: &Value| format!("Bearer {}", guest["token"].as_str().unwrap());
    let (_, _, renewed) = get_renew(&guests, &bearer(&ann)).await;
    assert_eq!(delete_guest(&guests, &bearer(&ann)).await, (StatusCode::NO_CONTENT, Value::Null));
    for token in [&ann, &renewed] {
        let (status, problem) = delete_guest(&guests, &bearer(token)).await;
        assert_eq!((status.as_u16(), &problem["code"]), (401, &json!("unauthenticated")));
        let token = Credentials::token(token["token"].as_str().unwrap());
        assert!(chat.authenticate(&token).await.is_err());
    }
    assert_eq!(get_renew(&guests, &bearer(&bob)).await.0, StatusCode::OK, "others stay");

    let (_, guests) = open().await;
    let (_, _, ann) = post_guest(&guests, r#"{"name":"Ann"}"#).await;
    let (status, problem) = delete_guest(&guests, &bearer(&ann)).await;
    assert_eq!((status.as_u16(), &problem["code"]), (501, &json!("unsupported")), "nothing remembers it");
}

#[test]
fn a_name_is_trimmed_and_kept_as_it_is() {
    assert_eq!(check_name("  Zoë von-Hüll_2 ").unwrap(), "Zoë von-Hüll_2");
    for name in ["李小龙", "नमस्ते", "กล้วย", "שרה"] {
        assert_eq!(check_name(name).unwrap(), name);
    }
    assert_eq!(check_name(&"é".repeat(24)).unwrap().chars().count(), 24);
}

#[test]
fn a_name_of_nothing_or_too_much_or_with_markup_is_refused() {
    for bad in ["", "   ", &"x".repeat(25), "<b>", "a\nb", "a@b", "tab\there", "👍"] {
        assert!(check_name(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_user_id_holds_the_name_in_any_script_and_something_random() {
    for name in ["Ann", "Ann Lee-2_b", "李小龙", "नमस्ते", "שרה"] {
        let user = user_id(name).unwrap();
        let (encoded, random) = user.as_str().rsplit_once('-').unwrap();
        let decoded: Vec<_> = form_urlencoded::parse(encoded.as_bytes()).collect();
        assert_eq!((decoded.len(), decoded[0].0.as_ref(), random.len()), (1, name, 6), "{user}");
    }
    assert_ne!(user_id("Ann").unwrap(), user_id("Ann").unwrap());
    let longest = "\u{10400}".repeat(MAX_NAME_CHARS);
    assert!(user_id(check_name(&longest).unwrap()).is_ok(), "the longest name fits into an id");
}
