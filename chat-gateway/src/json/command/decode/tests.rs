use super::*;

fn error(text: &str) -> DecodeError {
    decode(text).unwrap_err()
}

#[test]
fn a_send_keeps_its_json_as_it_was_written() {
    let command = decode(
        r#" {"type":"send","id":7,"room":"r","clientId":"c","json":{"b": 1.0,"a":[]},"name":"x","extra":1}"#,
    )
    .unwrap();
    assert_eq!(command.id, Some(7));
    let Action::Append { content: Content::Custom { name, body: Body::Json(json) }, .. } = command.action
    else {
        panic!()
    };
    assert_eq!((name.as_str(), json.as_str()), ("x", r#"{"b": 1.0,"a":[]}"#));
}

#[test]
fn an_error_names_the_field_and_keeps_the_id() {
    for (frame, field) in [
        (r#"{"id":3,"room":"r"}"#, "type"),
        (r#"{"id":3,"type":"join"}"#, "room"),
        (r#"{"id":3,"type":"join","room":5}"#, "room"),
        (r#"{"id":3,"type":"join","room":"two words"}"#, "room"),
        (r#"{"id":3,"type":"join","room":"r","cursor":"x"}"#, "cursor"),
        (r#"{"id":3,"type":"join","room":"r","limit":0}"#, "limit"),
        (r#"{"id":3,"type":"join","room":"r","limit":-1}"#, "limit"),
        (r#"{"id":3,"type":"send","room":"r","clientId":"c"}"#, "text"),
        (r#"{"id":3,"type":"send","room":"r","clientId":"c","text":"t","json":null}"#, "json"),
        (r#"{"id":3,"type":"send","room":"r","text":"t"}"#, "clientId"),
        (r#"{"id":3,"type":"send","room":"r","clientId":"!c","text":"t"}"#, "clientId"),
        (r#"{"id":3,"type":"edit","room":"r","clientId":"c","text":"t","target":"x"}"#, "target"),
        (r#"{"id":3,"type":"react","room":"r","clientId":"c","key":"k","op":"no"}"#, "op"),
        (r#"{"id":3,"type":"history","room":"r","before":"e.1","after":"e.2"}"#, "before"),
        (r#"{"id":3,"type":"history","room":"r","view":"x"}"#, "view"),
        (r#"{"id":3,"type":"presence","users":"ann"}"#, "users"),
        (r#"{"id":3,"type":"token"}"#, "token"),
    ] {
        let error = error(frame);
        assert_eq!((error.kind, error.id), (DecodeErrorKind::InvalidRequest, Some(3)), "{frame}");
        assert!(error.message.contains(&format!("`{field}`")), "{frame}: {}", error.message);
    }
}

#[test]
fn an_error_keeps_the_room_and_the_client_id_that_could_be_read() {
    for (frame, room, client_id) in [
        (r#"{"type":"send","room":"r","clientId":"c"}"#, Some("r"), Some("c")),
        (r#"{"type":"send","room":"r","clientId":"c","id":0,"text":"t"}"#, Some("r"), Some("c")),
        (r#"{"type":"send","room":"two words","clientId":"c","text":"t"}"#, None, Some("c")),
        (r#"{"type":"send","room":"r","clientId":7,"text":"t"}"#, Some("r"), None),
        (r#"{"type":"join","room":"r","limit":0}"#, Some("r"), None),
        (r#"{"type":"fly","room":"r"}"#, Some("r"), None),
        (r#"{"type":"presence","users":"ann"}"#, None, None),
    ] {
        let error = error(frame);
        assert_eq!(error.room.as_ref().map(RoomId::as_str), room, "{frame}");
        assert_eq!(error.client_id.as_ref().map(ClientMessageId::as_str), client_id, "{frame}");
    }
}

#[test]
fn what_is_no_object_is_malformed() {
    for frame in ["", "null", "[]", "{", "\"x\"", "{\"type\":\"ping\"} x", "{'type':'ping'}"] {
        assert_eq!(error(frame).kind, DecodeErrorKind::Malformed, "{frame}");
    }
    let deep = format!(r#"{{"type":"ping","data":{}}}"#, "[".repeat(10_000));
    assert_eq!(error(&deep).kind, DecodeErrorKind::Malformed);
}

#[test]
fn an_unknown_command_and_a_bad_id_are_told_apart() {
    assert_eq!(error(r#"{"type":"fly","id":1}"#).kind, DecodeErrorKind::UnknownCommand);
    for id in ["0", "-1", "1.5", "\"1\"", "18446744073709551616"] {
        let error = error(&format!(r#"{{"type":"ping","id":{id}}}"#));
        assert_eq!((error.kind, error.id), (DecodeErrorKind::InvalidRequest, None), "{id}");
        assert!(error.message.contains("`id`"));
    }
}

#[test]
fn a_token_never_shows() {
    let command = decode(r#"{"type":"connect","token":"hush-hush"}"#).unwrap();
    assert!(!format!("{command:?}").contains("hush"));
}
