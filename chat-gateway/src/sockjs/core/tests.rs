use super::*;

fn session(config: SockJsConfig) -> (Arc<Core>, mpsc::Receiver<Incoming>) {
    Core::new(&Arc::new(config))
}

async fn texts(receiver: &mut Receiver) -> Vec<String> {
    match receiver.next().await {
        Next::Messages(texts) => texts,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_opens_speaks_and_ends_in_this_order() {
    let (core, _incoming) = session(SockJsConfig::new());
    core.send("a".to_owned()).await.unwrap();
    core.send("b".to_owned()).await.unwrap();
    core.close(Close::GO_AWAY);
    core.close(Close::INTERRUPTED);
    assert_eq!(core.send("c".to_owned()).await, Err(SessionEnded));
    let mut receiver = core.attach().await.unwrap();
    assert_eq!(receiver.next().await, Next::Open);
    assert_eq!(texts(&mut receiver).await, ["a", "b"]);
    for _ in 0..2 {
        assert_eq!(receiver.next().await, Next::Close(Close::GO_AWAY));
    }
}

#[tokio::test(start_paused = true)]
async fn only_one_request_waits_and_the_next_one_gets_what_comes_then() {
    let (core, _incoming) = session(SockJsConfig::new());
    let mut first = core.attach().await.unwrap();
    assert_eq!(first.next().await, Next::Open);
    assert!(core.attach().await.is_none());
    let waiting = tokio::spawn({
        let core = core.clone();
        async move { core.attach().await.is_some() }
    });
    tokio::task::yield_now().await;
    first.finish();
    assert!(waiting.await.unwrap(), "the place is taken over as soon as it is free");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_breaks_off_ends_the_session() {
    let (core, mut incoming) = session(SockJsConfig::new());
    core.send("lost".to_owned()).await.unwrap();
    let mut receiver = core.attach().await.unwrap();
    assert_eq!(receiver.next().await, Next::Open);
    drop(receiver);
    assert!(incoming.recv().await.is_none());
    let mut receiver = core.attach().await.unwrap();
    assert_eq!(receiver.next().await, Next::Close(Close::INTERRUPTED));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_fetches_nothing_holds_up_the_sender_and_then_ends() {
    let config = SockJsConfig::new().with_queues(1, 1_000).with_write_timeout(Duration::from_secs(7));
    let (core, _incoming) = session(config);
    // Larger than all the room there is: it waits alone.
    core.send("x".repeat(5_000)).await.unwrap();
    let start = Instant::now();
    assert_eq!(core.send(String::new()).await, Err(SessionEnded));
    assert_eq!(start.elapsed(), Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn many_empty_messages_are_bounded_too() {
    let (core, _incoming) = session(SockJsConfig::new().with_queues(1, 640));
    for _ in 0..10 {
        core.send(String::new()).await.unwrap();
    }
    let sender = core.clone();
    let one_more = tokio::spawn(async move { sender.send("late".to_owned()).await });
    tokio::task::yield_now().await;
    assert!(!one_more.is_finished());
    let mut receiver = core.attach().await.unwrap();
    assert_eq!(receiver.next().await, Next::Open);
    assert_eq!(texts(&mut receiver).await.len(), 10);
    one_more.await.unwrap().unwrap();
    assert_eq!(texts(&mut receiver).await, ["late"]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_read_holds_up_the_client() {
    let (core, mut incoming) = session(SockJsConfig::new().with_queues(1, 1_000));
    let texts: Vec<String> = (0..3).map(|number: i32| number.to_string()).collect();
    let sender = core.clone();
    let delivered = tokio::spawn(async move { sender.deliver(texts).await });
    tokio::task::yield_now().await;
    assert!(!delivered.is_finished());
    for number in ["0", "1", "2"] {
        assert_eq!(incoming.recv().await.map(|(text, _)| text).as_deref(), Some(number));
    }
    delivered.await.unwrap().unwrap();
    let start = Instant::now();
    let more = core.deliver(vec![String::new(); 2]).await;
    assert_eq!((more, start.elapsed()), (Err(SessionEnded), SockJsConfig::WRITE_TIMEOUT));
}

#[tokio::test(start_paused = true)]
async fn a_session_nobody_waits_at_is_over_after_the_timeout() {
    let (core, _incoming) = session(SockJsConfig::new());
    let start = Instant::now();
    let mut receiver = core.attach().await.unwrap();
    let abandoned = tokio::spawn({
        let core = core.clone();
        async move {
            core.abandoned().await;
            Instant::now()
        }
    });
    assert_eq!(receiver.next().await, Next::Open);
    assert_eq!(receiver.next().await, Next::Heartbeat);
    receiver.finish();
    let end = abandoned.await.unwrap();
    assert_eq!(end - start, SockJsConfig::HEARTBEAT_INTERVAL + SockJsConfig::SESSION_TIMEOUT);
    assert!(core.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_does_not_keep_a_session_that_is_over() {
    let (core, _incoming) = session(SockJsConfig::new());
    let mut receiver = core.attach().await.unwrap();
    assert_eq!(receiver.next().await, Next::Open);
    core.close(Close::GO_AWAY);
    let start = Instant::now();
    core.abandoned().await;
    assert_eq!(start.elapsed(), SockJsConfig::SESSION_TIMEOUT);
    assert_eq!(receiver.next().await, Next::Close(Close::GO_AWAY), "it is told if it goes on after all");
}
