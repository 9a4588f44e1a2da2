//! The document and its page, as they are served.

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, header},
    response::Response,
};
use chat_gateway::GatewayConfig;
use serde_json::Value;
use tower::ServiceExt;

use crate::world::{Server, settings};

/// The routes, with the document or without, nested under each prefix in turn.
async fn nested(prefix: &str, config: GatewayConfig) -> Router {
    let server = Server::build(settings(), GatewayConfig::new(), |builder| builder).await;
    let routes = chat_gateway::router(server.chat.clone(), config);
    if prefix.is_empty() { routes } else { Router::new().nest(prefix, routes) }
}

async fn ask(routes: &Router, method: Method, path: &str) -> Response {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    routes.clone().oneshot(request).await.unwrap()
}

async fn body(response: Response) -> String {
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn there_is_no_document_unless_it_is_turned_on() {
    let routes = nested("/chat", GatewayConfig::new()).await;
    for path in ["/chat/openapi.json", "/chat/docs", "/chat/docs/", "/chat/docs/swagger-ui.css"] {
        assert_eq!(ask(&routes, Method::GET, path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn the_document_names_the_prefix_under_which_it_was_asked_for() {
    for (prefix, base) in [("", "/"), ("/chat", "/chat"), ("/api/v1/chat", "/api/v1/chat")] {
        let routes = nested(prefix, GatewayConfig::new().with_openapi()).await;
        let response = ask(&routes, Method::GET, &format!("{prefix}/openapi.json")).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        let mut served: Value = serde_json::from_str(&body(response).await).unwrap();
        assert_eq!(served.as_object_mut().unwrap().remove("servers").unwrap()[0]["url"], base);
        assert_eq!(served, serde_json::to_value(chat_gateway::openapi("")).unwrap());
    }
}

/// Answered by a handler, if only with a refusal: not by the router for want of one.
#[tokio::test]
async fn the_router_knows_every_described_path_and_method_and_no_other_method() {
    let config = GatewayConfig::new().with_openapi().with_metrics(std::sync::Arc::new(String::new));
    let routes = nested("/chat", config).await;
    let document = serde_json::to_value(chat_gateway::openapi("/chat")).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.replace("{room}", "general").replace("{user}", "ann");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let described = item.get(method.to_lowercase()).is_some();
            let response = ask(&routes, method.parse().unwrap(), &path).await;
            let status = response.status();
            if described {
                let allowed = response.headers().get(header::ALLOW);
                assert!(
                    allowed.is_none() && status != StatusCode::METHOD_NOT_ALLOWED,
                    "{method} {path}: {status}"
                );
                assert_ne!(status, StatusCode::NOT_FOUND, "{method} {path}");
            } else {
                assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
                let allowed = response.headers()[header::ALLOW].to_str().unwrap().to_owned();
                let methods = item.as_object().unwrap().keys();
                assert!(
                    methods.clone().all(|known| allowed.contains(&known.to_uppercase())),
                    "{path}: {allowed}"
                );
            }
        }
    }
}

#[tokio::test]
async fn the_page_is_all_of_this_host_and_may_ask_no_other() {
    let routes = nested("/chat", GatewayConfig::new().with_openapi()).await;
    let moved = ask(&routes, Method::GET, "/chat/docs").await;
    assert_eq!(
        (moved.status().as_u16(), &moved.headers()[header::LOCATION]),
        (308, &"docs/".parse().unwrap())
    );
    let page = ask(&routes, Method::GET, "/chat/docs/").await;
    let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    let page = body(page).await;
    assert!(!page.contains("//"), "an address of another host in {page}");
    let files: Vec<&str> = page
        .split("=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|name| name.contains('.'))
        .collect();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let file = ask(&routes, Method::GET, &format!("/chat/docs/{}", file.trim_start_matches("./"))).await;
        assert_eq!(file.status(), StatusCode::OK);
        assert_eq!(file.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
    let starts = body(ask(&routes, Method::GET, "/chat/docs/swagger-initializer.js").await).await;
    assert!(
        starts.contains(r#""url": "../openapi.json""#) && starts.contains(r#""validatorUrl": "none""#),
        "{starts}"
    );
    for missing in ["/chat/docs/nothing.js", "/chat/docs/%2e%2e%2fCargo.toml"] {
        assert_eq!(ask(&routes, Method::GET, missing).await.status(), StatusCode::NOT_FOUND, "{missing}");
    }
}

/// Unless the application gives metrics, the path is its own: routes that met would end the program at its start.
#[tokio::test]
async fn an_application_may_have_metrics_of_its_own_on_the_same_path() {
    let routes = nested("", GatewayConfig::new()).await;
    let routes = routes.route("/metrics", axum::routing::get(|| async { "mine" }));
    let response = ask(&routes, Method::GET, "/metrics").await;
    assert_eq!(response.status(), StatusCode::OK);
}
