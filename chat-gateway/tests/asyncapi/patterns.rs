//! What the patterns of the document take and refuse, written out: they are read by people in other languages too.

use serde_json::json;

use crate::document::schema;

#[test]
fn patterns_take_and_refuse_what_they_say() {
    let (long_room, long_user) = ("x".repeat(129), "x".repeat(513));
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("RoomId", &["shop:42.buyer-7", "r", &long_room[1..]], &["", "a b", "a/b", "é", &long_room, "r\n"]),
        ("UserId", &["ann@example.com", "!~", &long_user[1..]], &["", "a b", "é", &long_user, "\u{7f}"]),
        ("ClientId", &["c-7", "!leave-2"], &["", "a b", "é"]),
        (
            "NewClientId",
            &["c-7", "c!", "~", "\"", &long_room[1..]],
            &["", "!", "!leave-2", "a b", "é", &long_room],
        ),
        (
            "MessageId",
            &["7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "01jgz5w3d8qj4r7n2m6k9h5b0c"],
            &["8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "0000000000000000000000000", "IIIIIIIIIIIIIIIIIIIIIIIIII"],
        ),
        (
            "Cursor",
            &["e.0", "e.9007199254740991", "a-_Z.42"],
            &["e.9007199254740992", "e.01", "e.-1", "e", ".1", "e.1 ", "e.10000000000000000"],
        ),
        (
            "RoomsPlace",
            &["0.r", "18446744073709551615.a.b"],
            &["18446744073709551616.r", "+1.r", "01.r", "1.", "1"],
        ),
        (
            "ReactionKey",
            &["👍", "plus-one", "é"],
            &["", "a b", "a\u{a0}b", "a\u{2028}", "\u{85}", &long_room[..65]],
        ),
        ("Text", &[" a ", "a\nb", "\u{feff}"], &["", " ", "\u{3000}\u{a0}\n", "a\0b"]),
        (
            "Time",
            &["2026-01-01T00:00:00.000Z"],
            &["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000+00:00", "now"],
        ),
    ];
    for (name, good, bad) in cases {
        let schema = schema(name);
        for (texts, is_right) in [(good, true), (bad, false)] {
            for text in *texts {
                assert_eq!(schema.is_valid(&json!(text)), is_right, "{name}: {text:?}");
            }
        }
    }
}
