//! Two processes on one database, with Redis before it: what is sent is answered there.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use chat_test_services::{Postgres, Proxy, Redis};
use sqlx::PgConnection;
use tokio::time::{Instant, timeout};
use url::Url;

use crate::{
    node::Ground,
    stage::{PATIENCE, Stage},
};

/// How soon presence is right again.
const PRESENCE_IS_BACK: Duration = Duration::from_secs(5);

/// What the processes are called at the database.
pub(crate) const NAMES: [&str; 2] = ["one", "two"];

/// A killed Redis that comes up with everything it answered.
pub(crate) const KEEPS_ALL: [&str; 2] = ["appendonly yes", "appendfsync always"];

pub(crate) struct HotStage {
    stage: Stage,
    /// The test's own, where it breaks it.
    postgres: Option<Postgres>,
    redis: Option<(Redis, [Proxy; 2])>,
}

impl HotStage {
    /// On a Redis with these lines in its configuration.
    pub(crate) async fn open(redis: &[&str]) -> Self {
        Self::on_databases_of(None, redis).await
    }

    /// As [`open`](Self::open), on a database server that the test may break.
    pub(crate) async fn open_on_own_postgres(redis: &[&str]) -> Self {
        Self::on_databases_of(Some(Postgres::private().await.unwrap()), redis).await
    }

    async fn on_databases_of(postgres: Option<Postgres>, settings: &[&str]) -> Self {
        let redis = Redis::private_with(settings).await.unwrap();
        let address = redis.address().unwrap();
        let ways =
            [Proxy::start(address.clone()).await.unwrap(), Proxy::start(address.clone()).await.unwrap()];
        let urls = ways.each_ref().map(|way| redis.url().replace(&address, &way.address().to_string()));
        let stage = Self::on(urls, postgres).await;
        Self { redis: Some((redis, ways)), ..stage }
    }

    /// Each process on the Redis that is said here. Everybody writes without end.
    pub(crate) async fn on(redis: [String; 2], postgres: Option<Postgres>) -> Self {
        let server = match &postgres {
            Some(postgres) => postgres,
            None => Postgres::shared().await.unwrap(),
        };
        let database = server.database().await.unwrap();
        // What is done to the database is done to all of it.
        let proxy = Proxy::start(server.address().unwrap()).await.unwrap();
        let mut grounds = Vec::new();
        for (name, redis_url) in NAMES.into_iter().zip(redis) {
            let mut url: Url = database.url().parse().unwrap();
            url.query_pairs_mut().append_pair("application_name", name);
            grounds.push(Ground { redis_url: Some(redis_url), hot_log: true, ..Ground::database(url) });
        }
        let grounds: [Ground; 2] = grounds.try_into().unwrap();
        let stage = Stage::on(database, proxy, grounds).await.under_load().await;
        Self { stage, postgres, redis: None }
    }

    /// The database server that this test may break.
    pub(crate) fn postgres(&self) -> &Postgres {
        self.postgres.as_ref().expect("a server of its own")
    }

    pub(crate) fn redis(&self) -> &Redis {
        &self.redis.as_ref().expect("one Redis").0
    }

    /// Between each process and Redis.
    pub(crate) fn ways(&self) -> &[Proxy; 2] {
        &self.redis.as_ref().expect("one Redis").1
    }

    /// From now on something may be lost, if it is told.
    pub(crate) fn may_lose(&self) {
        for client in &self.clients {
            client.notes().allows.losses = true;
        }
    }

    /// Holds up whoever moves entries into the database.
    pub(crate) async fn hold_archive(&self) -> Held {
        let mut hands = self.by_hand().await;
        let hold = "BEGIN; SELECT room FROM chat.rooms ORDER BY room FOR UPDATE";
        sqlx::raw_sql(hold).execute(&mut hands).await.unwrap();
        Held(hands)
    }

    /// Service is back, nobody is taken for away, and messages flow.
    pub(crate) async fn is_well(&mut self, since: Instant, after: &str) {
        self.is_back(since, after).await;
        self.all_are_online(PRESENCE_IS_BACK.saturating_sub(since.elapsed())).await;
        self.more_is_said(10).await;
    }

    /// Nothing was lost.
    pub(crate) async fn judge(self) {
        let dead = match &self.redis {
            Some((redis, _)) => redis.ask("KEYS *:dead").await.unwrap(),
            None => String::new(),
        };
        assert_eq!(dead, "", "nothing is put aside");
        self.stage.judge().await;
    }

    /// Something was lost, and was told.
    pub(crate) async fn judge_losses(self) {
        let told: usize = self.clients.iter().map(|client| client.notes().resets.len()).sum();
        assert!(told > 0, "nobody was told of any loss");
        self.stage.judge().await;
    }
}

impl Deref for HotStage {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

impl DerefMut for HotStage {
    fn deref_mut(&mut self) -> &mut Stage {
        &mut self.stage
    }
}

/// While there is this, nothing is moved into the database.
pub(crate) struct Held(PgConnection);

impl Held {
    /// Which of [`NAMES`] waits.
    pub(crate) async fn waiting(&mut self) -> usize {
        let query = "SELECT application_name FROM pg_stat_activity \
                     WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name = ANY ($1)";
        let waits = timeout(PATIENCE, async {
            loop {
                let names: Vec<String> =
                    sqlx::query_scalar(query).bind(NAMES.as_slice()).fetch_all(&mut self.0).await.unwrap();
                if let Some(name) = names.first() {
                    return NAMES.iter().position(|known| known == name).unwrap();
                }
                // Within a transaction the first look would be all there is to see.
                sqlx::raw_sql("SELECT pg_stat_clear_snapshot()").execute(&mut self.0).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waits.await.expect("somebody moves entries")
    }

    pub(crate) async fn release(mut self) {
        sqlx::raw_sql("COMMIT").execute(&mut self.0).await.unwrap();
    }
}
