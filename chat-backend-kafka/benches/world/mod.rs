//! What the benchmarks share.
#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chat_backend_kafka::{KafkaConfig, TopicNames, ensure_topics};
use chat_core::{
    Auth, Backend, ClientMessageId, Content, Draft, MemberChange, NewRoom, Result, Role, RoomId, Rooms,
    UserId,
    auth::{AuthError, Credentials, Principal},
};
use chat_test_services::Kafka;

#[derive(Debug)]
pub(crate) struct Nobody;

#[async_trait]
impl Backend for Nobody {
    fn name(&self) -> &'static str {
        "nobody"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Auth for Nobody {
    async fn authenticate(&self, _: &Credentials) -> Result<Principal> {
        Err(AuthError::Missing.into())
    }

    async fn revalidate(&self, _: &Principal) -> Result<()> {
        Ok(())
    }
}

pub(crate) async fn topics(kafka: &Kafka, partitions: i32) -> KafkaConfig {
    let config = KafkaConfig::new(kafka.url())
        .with_topics(TopicNames::with_prefix(&kafka.prefix()))
        .with_delivery_timeout(Duration::from_secs(30));
    ensure_topics(&config, &config.topics().specs(partitions, 1)).await.unwrap();
    config
}

pub(crate) fn room(number: usize) -> RoomId {
    RoomId::new(&format!("room-{number}")).unwrap()
}

pub(crate) fn user() -> UserId {
    UserId::new("ann").unwrap()
}

pub(crate) async fn make_rooms(rooms: &Arc<dyn Rooms>, count: usize) {
    for number in 0..count {
        rooms.create(NewRoom::new(room(number))).await.unwrap();
        rooms.change_member(&room(number), MemberChange::add(user(), Role::Member)).await.unwrap();
    }
}

pub(crate) fn draft(number: usize, rooms: usize) -> Draft {
    let text = format!("{number} the meeting is at noon tomorrow, please bring green tea");
    let name = ClientMessageId::new(&format!("c{number}")).unwrap();
    Draft::new(room(number % rooms), user(), name, Content::text(&text))
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
