//! The Kafka source against a real broker, named by `KAFKA_BROKERS`.

mod bench;
mod commits;
mod dropped;
mod groups;
mod lag;
mod member;
mod outages;
mod producing;
mod reading;
