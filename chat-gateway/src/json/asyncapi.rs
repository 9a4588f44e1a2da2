/// The protocol for machines: an [AsyncAPI 3.0](https://www.asyncapi.com/docs/reference/specification/v3.0.0) document in
/// JSON, with a schema and examples of every command and every frame. The axum routes serve it at `GET /asyncapi.json`.
pub const ASYNCAPI: &str = include_str!("../../asyncapi.json");
