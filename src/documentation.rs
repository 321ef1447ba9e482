//! The README and the book, so that their code is compiled, and run where it says nothing else, with the documentation's.

#[doc = include_str!("../README.md")]
mod readme {}
#[doc = include_str!("../docs/first-daemon.md")]
mod first_daemon {}
#[doc = include_str!("../docs/handlers.md")]
mod handlers {}
#[doc = include_str!("../docs/ordering.md")]
mod ordering {}
#[doc = include_str!("../docs/workers.md")]
mod workers {}
#[doc = include_str!("../docs/retries.md")]
mod retries {}
#[doc = include_str!("../docs/testing.md")]
mod testing {}
#[doc = include_str!("../docs/from-kafka-go.md")]
mod from_kafka_go {}
#[doc = include_str!("../docs/from-spring-kafka.md")]
mod from_spring_kafka {}
#[doc = include_str!("../docs/from-karafka.md")]
mod from_karafka {}
#[doc = include_str!("../docs/from-parallel-consumer.md")]
mod from_parallel_consumer {}
