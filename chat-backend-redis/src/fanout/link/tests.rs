use chat_test_services::RedisCluster;
use fred::types::Builder;
use futures::future::join3;

use super::*;

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
