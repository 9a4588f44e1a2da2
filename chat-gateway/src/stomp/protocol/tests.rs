use super::*;

fn connected(version: &str) -> Protocol {
    let mut protocol = Protocol::new(StompConfig::new().with_subscriptions(2).with_transactions(2, 1_000));
    let frame = Frame::new(Command::Stomp).with("accept-version", version);
    assert!(matches!(protocol.accept(frame), Ok(Step::Connect(..))));
    protocol
}

fn code(answer: Result<Step, Problem>) -> &'static str {
    match answer {
        Ok(step) => panic!("{step:?}"),
        Err(problem) => problem.code,
    }
}

fn subscribe(id: &str) -> Frame {
    Frame::new(Command::Subscribe).with("id", id).with("destination", "/topic/a")
}

fn send() -> Frame {
    Frame::new(Command::Send).with("destination", "/app/a")
}

#[test]
fn connect_comes_first_and_once() {
    let mut protocol = Protocol::new(StompConfig::new());
    assert_eq!(code(protocol.accept(send())), "not_connected");
    let too_new = Frame::new(Command::Connect).with("accept-version", "2.0");
    assert_eq!(code(protocol.accept(too_new)), "unsupported");
    assert!(matches!(protocol.accept(Frame::new(Command::Connect)), Ok(Step::Connect(..))));
    assert_eq!(protocol.version(), Version::V1_0);
    assert_eq!(code(protocol.accept(Frame::new(Command::Stomp))), "already_connected");
    assert_eq!(code(protocol.accept(Frame::new(Command::Message))), "unknown_command");
}

#[test]
fn subscriptions_have_names_of_their_own_and_a_bound() {
    let mut protocol = connected("1.2");
    assert_eq!(code(protocol.accept(Frame::new(Command::Subscribe).with("id", "1"))), "invalid_request");
    assert_eq!(
        code(protocol.accept(Frame::new(Command::Subscribe).with("destination", "/a"))),
        "invalid_request"
    );
    assert_eq!(code(protocol.accept(subscribe("1").with("ack", "never"))), "invalid_request");
    assert!(matches!(protocol.accept(subscribe("1").with("ack", "client")), Ok(Step::Subscribe(_))));
    assert_eq!(code(protocol.accept(subscribe("1"))), "invalid_request");
    assert!(matches!(protocol.accept(subscribe("2")), Ok(Step::Subscribe(_))));
    assert_eq!(code(protocol.accept(subscribe("3"))), "limit_exceeded");
    let end = || Frame::new(Command::Unsubscribe).with("id", "1");
    assert!(matches!(protocol.accept(end()), Ok(Step::Unsubscribe(_))));
    assert!(matches!(protocol.accept(end()), Ok(Step::Nothing)));
    assert!(matches!(protocol.accept(subscribe("3")), Ok(Step::Subscribe(_))));
}

#[test]
fn the_first_version_knows_subscriptions_by_their_destination() {
    let mut protocol = connected("1.0");
    let frame = |command| Frame::new(command).with("destination", "/topic/a");
    let Ok(Step::Subscribe(subscribe)) = protocol.accept(frame(Command::Subscribe)) else { panic!() };
    assert_eq!(subscribe.subscription.id(), "/topic/a");
    assert!(matches!(protocol.accept(frame(Command::Unsubscribe)), Ok(Step::Unsubscribe(_))));
}

#[test]
fn each_version_names_messages_in_its_own_way() {
    for (version, headers, fits) in [
        ("1.2", &["id"][..], true),
        ("1.2", &["message-id", "subscription"][..], false),
        ("1.1", &["message-id", "subscription"][..], true),
        ("1.1", &["message-id"][..], false),
        ("1.0", &["message-id"][..], true),
        ("1.0", &["id"][..], false),
    ] {
        let frame = headers.iter().fold(Frame::new(Command::Ack), |frame, name| frame.with(*name, "1"));
        assert_eq!(connected(version).accept(frame).is_ok(), fits, "{version} {headers:?}");
    }
    let nack = Frame::new(Command::Nack).with("message-id", "1");
    assert_eq!(code(connected("1.0").accept(nack)), "unknown_command");
}

#[test]
fn a_transaction_holds_what_it_is_given_until_it_ends() {
    let mut protocol = connected("1.2");
    let in_transaction = |command| Frame::new(command).with("transaction", "t");
    assert_eq!(code(protocol.accept(send().with("transaction", "t"))), "invalid_request");
    assert_eq!(code(protocol.accept(in_transaction(Command::Commit))), "invalid_request");
    for commit in [true, false] {
        assert!(matches!(protocol.accept(in_transaction(Command::Begin)), Ok(Step::Nothing)));
        assert_eq!(code(protocol.accept(in_transaction(Command::Begin))), "invalid_request");
        for body in ["a", "b"] {
            let held = protocol.accept(send().with("transaction", "t").with_body(body));
            assert!(matches!(held, Ok(Step::Nothing)));
        }
        // What is sent beside it does not wait.
        assert!(matches!(protocol.accept(send()), Ok(Step::Do(held)) if held.len() == 1));
        if commit {
            let Ok(Step::Do(held)) = protocol.accept(in_transaction(Command::Commit)) else { panic!() };
            let bodies: Vec<&[u8]> = held
                .iter()
                .map(|held| match held {
                    Held::Send(send) => &send.body[..],
                    Held::Acknowledge(_) => panic!(),
                })
                .collect();
            assert_eq!(bodies, [b"a", b"b"]);
        } else {
            assert!(matches!(protocol.accept(in_transaction(Command::Abort)), Ok(Step::Nothing)));
        }
        assert_eq!(protocol.held, 0);
    }
}

#[test]
fn transactions_are_bounded_in_number_and_in_bytes() {
    let mut protocol = connected("1.2");
    let begin = |name| Frame::new(Command::Begin).with("transaction", name);
    for name in ["a", "b"] {
        assert!(protocol.accept(begin(name)).is_ok());
    }
    assert_eq!(code(protocol.accept(begin("c"))), "limit_exceeded");
    let send = |body: &'static str| send().with("transaction", "a").with_body(body);
    assert!(protocol.accept(send("x")).is_ok());
    assert!(protocol.accept(send("x")).is_ok());
    assert_eq!(code(protocol.accept(send("x"))), "limit_exceeded");
}
