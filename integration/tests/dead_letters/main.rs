//! Dead letters on a real Kafka: what is listed and shown, what a re-drive writes, and what is left of it when it is killed.

mod contents;
mod interrupted;
mod listing;
mod loops;
mod operated;
mod scene;
mod served;
mod terminal;
mod writing;
