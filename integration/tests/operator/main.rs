//! The operator's command line, as a process of the binary `daemonry`, on a real Kafka.

mod doctor;
mod fleet;
mod lag;
mod process;
mod reset;
mod scene;
mod secure;
