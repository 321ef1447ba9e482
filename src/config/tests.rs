//! What a user is told of a configuration, word by word.

mod api;
mod canary;
mod errors;
mod layers;
mod overrides;
mod patterns;
mod printed;
mod scaling;
mod schemas;

use std::collections::BTreeMap;

use super::{Faults, Loaded, Program, Reads, Sources, Variables, load};
use crate::handler::{ProcessingOrder, Router, on};
use crate::retry::RetryPolicy;

async fn handle() {}

fn router() -> Router {
    Router::new()
        .topic(
            "orders.created",
            on(handle).retry(RetryPolicy::exponential().max_retries(5)).dead_letter("orders.failed"),
        )
        .topic("orders.cancelled", on(handle).order(ProcessingOrder::Partition))
}

#[derive(Debug, serde::Deserialize)]
#[serde(default)]
struct Shop {
    currency: String,
    api_key: super::Secret,
    hosts: Vec<u16>,
    prices: BTreeMap<String, u32>,
    secrets: BTreeMap<String, u32>,
    address: std::net::SocketAddr,
    log: Log,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Log {
    level: Level,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    #[default]
    Low,
    High,
}

impl Default for Shop {
    fn default() -> Self {
        Self {
            currency: "EUR".to_owned(),
            api_key: super::Secret::default(),
            hosts: Vec::new(),
            prices: BTreeMap::new(),
            secrets: BTreeMap::new(),
            address: ([127, 0, 0, 1], 1).into(),
            log: Log::default(),
        }
    }
}

/// A program with a consumer `orders`, a daemon `ticker` of its own, and a section of its own.
fn with_program<R>(act: impl FnOnce(&Program<'_>) -> R) -> R {
    let router = router();
    act(&Program {
        name: "shop",
        daemons: vec![("orders", Reads::Topics(&router)), ("ticker", Reads::Nothing)],
        app: Some(|document| drop(document.read::<Shop>(&super::KeyPath::of(["app"])))),
    })
}

fn loaded(text: &str, variables: &[(&str, &str)], flags: &[&str]) -> Result<Loaded, Faults> {
    let variables = Variables::from(variables);
    let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    with_program(|program| load(Sources { file: "shop.yaml", text, variables: &variables, flags: &flags }, program))
}

/// What every text here is put before, so that it says nothing but what is meant.
const REST: &str = "\nkafka: {main: {brokers: \"localhost:9092\", group: shop}}\ndaemons: {orders: {}, ticker: {}}\n";

/// A text that stands for the whole file.
#[track_caller]
fn check(text: &str, expected: &str) {
    check_with(text, &[], &[], expected);
}

/// A text to which the clusters and daemons are added.
#[track_caller]
fn check_top(text: &str, expected: &str) {
    check(&format!("{text}{REST}"), expected);
}

/// The keys of the daemon `orders`, from line 3 and column 5 on.
#[track_caller]
fn check_daemon(keys: &str, expected: &str) {
    let keys: Vec<_> = keys.lines().map(|line| format!("    {line}\n")).collect();
    let rest = "kafka: {main: {brokers: \"localhost:9092\", group: shop}}\n";
    check(&format!("daemons:\n  orders:\n{}  ticker: {{}}\n{rest}", keys.concat()), expected);
}

#[track_caller]
fn check_with(text: &str, variables: &[(&str, &str)], flags: &[&str], expected: &str) {
    let told = match loaded(text, variables, flags) {
        Ok(_) => "ok".to_owned(),
        Err(faults) => faults.to_string(),
    };
    assert!(told == expected, "told:\n{told}\nexpected:\n{expected}\n");
}
