use chat_core::{RoomId, fanout::Interest};
use chat_test_services::{Redis, RedisCluster};
use fred::types::{Builder, MessageKind, config::Server};
use futures::future::join3;
use tokio::{sync::broadcast, task::yield_now, time::timeout};

use super::*;
use crate::{
    RedisConfig,
    fanout::{channel::Channels, registry::Routes},
};

/// An end that the server refuses has an answer where others have none, and the client does not count it.
#[tokio::test]
async fn an_answer_to_something_else_confirms_nothing() {
    let cluster = RedisCluster::private().await.unwrap();
    let server = Config::from_url(cluster.servers()[0].url()).unwrap();
    let client = Builder::from_config(server).build().unwrap();
    client.init().await.unwrap();
    let of = |place: u16| move |name: &String| fred::util::redis_keyslot(name.as_bytes()) / 5_462 == place;
    let mut names = (0..).map(|number| format!("r{number}"));
    let (ours, theirs) = (names.find(of(0)).unwrap(), names.find(of(2)).unwrap());
    let other = names.find(of(0)).unwrap();
    subscribe(&client, &ours).await.unwrap();
    assert_eq!(subscribe(&client, &theirs).await.unwrap_err().code(), Some("MOVED"));
    unsubscribe(&client, &ours).await.unwrap();
    let (_, first, second) =
        join3(unsubscribe(&client, &theirs), subscribe(&client, &ours), subscribe(&client, &other)).await;
    // The refusal is taken for the first one's, and the first one's confirmation for the second one's.
    assert_eq!(first.unwrap_err().code(), Some("MOVED"));
    assert_eq!(second.unwrap_err().kind(), RedisErrorKind::Connection);
}

/// More always comes than is taken in one turn.
#[tokio::test]
async fn a_flood_keeps_nobody_from_subscribing() {
    let server = Redis::shared().await.unwrap();
    let config = RedisConfig::from_url(server.url()).unwrap().with_prefix(server.prefix());
    let shared = Arc::new(crate::connect::connect(config).await.unwrap());
    let registry = Arc::new(Registry::new(Channels::new(shared.keys.prefix())));
    registry.route(Routes::from([(0, Some(ShardId::new()))]));
    let parts = (Arc::clone(&registry), Topics::new(16), Arc::default());
    let link = Link::new(Arc::clone(&shared), shared.config.server.clone(), ShardId::new(), parts);
    let mut connection = Connection::open(&shared.config, &link.server, Use::Subscriptions).await.unwrap();
    let heard = Heard {
        unpacker: Mutex::default(),
        probe: "nobody".to_owned(),
        probes: Mutex::default(),
        behind: AtomicBool::default(),
    };
    let (sender, messages) = broadcast::channel(1 << 14);
    let message = Message {
        channel: "other".into(),
        kind: MessageKind::SMessage,
        value: Value::Null,
        server: Server::new("h", 1),
    };
    let flood = tokio::spawn(async move {
        loop {
            while sender.len() < 10_000 && sender.send(message.clone()).is_ok() {}
            yield_now().await;
        }
    });
    let attending = tokio::spawn(async move { link.attend(&mut connection, messages, &heard).await });
    let tea = Topic::Room(RoomId::new("tea").unwrap());
    registry.note(&tea, Interest::Begins);
    let in_force = timeout(Duration::from_secs(20), registry.in_force(&tea)).await;
    flood.abort();
    attending.abort();
    in_force.unwrap().unwrap();
}
