//! Two processes on one database, with Redis between them.

use std::{
    fs::File,
    ops::{Deref, DerefMut},
    path::Path,
};

use chat_test_services::{Postgres, Proxy, Redis};

use crate::{node::Ground, stage::Stage};

pub(crate) struct RedisStage {
    stage: Stage,
    pub(crate) redis: Redis,
    /// Between the first process and Redis.
    pub(crate) way: Proxy,
}

/// How the processes are started.
#[derive(Debug, Default)]
pub(crate) struct Setting<'a> {
    /// Lines of Redis's configuration.
    pub(crate) redis: &'a [&'a str],
    pub(crate) rate_limits: bool,
    /// A folder for the processes' logs.
    pub(crate) logs: Option<&'a Path>,
}

impl RedisStage {
    pub(crate) async fn open(setting: Setting<'_>) -> Self {
        let redis = Redis::private_with(setting.redis).await.unwrap();
        let address = redis.address().unwrap();
        let way = Proxy::start(address.clone()).await.unwrap();
        let behind_way = redis.url().replace(&address, &way.address().to_string());
        let database = Postgres::shared().await.unwrap().database().await.unwrap();
        // Nothing is done to the database here.
        let proxy = Proxy::start(Postgres::shared().await.unwrap().address().unwrap()).await.unwrap();
        let mut numbers = 1..;
        let grounds = [behind_way, redis.url().to_owned()].map(|redis_url| Ground {
            database_url: database.url().to_owned(),
            redis_url: Some(redis_url),
            hot_log: false,
            rate_limits: setting.rate_limits,
            log: setting
                .logs
                .map(|folder| File::create(folder.join(format!("{}", numbers.next().unwrap()))).unwrap()),
        });
        Self { stage: Stage::on(database, proxy, grounds).await, redis, way }
    }

    /// Everybody writes without end.
    pub(crate) async fn open_under_load(redis: &[&str]) -> Self {
        let Self { stage, redis, way } = Self::open(Setting { redis, ..Setting::default() }).await;
        Self { stage: stage.under_load().await, redis, way }
    }

    pub(crate) async fn judge(self) {
        self.stage.judge().await;
    }
}

impl Deref for RedisStage {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

impl DerefMut for RedisStage {
    fn deref_mut(&mut self) -> &mut Stage {
        &mut self.stage
    }
}
