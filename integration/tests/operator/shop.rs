//! The shop's program, with orders of a customer that nobody else has, and letters that nobody else writes.

use std::fs;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use anyhow::{Result, ensure};
use daemonry::record::Partition;
use integration::Message;
use serde_json::json;

use crate::browser::Browser;
use crate::process::Process;
use crate::scene::{PATIENCE, Scene};

/// The page of the daemon that reads them.
pub(crate) const DAEMON: &str = "/daemons/orders";

/// A shop that runs, and orders of a customer that nobody else has.
pub(crate) struct Shop {
    pub(crate) scene: Scene,
    pub(crate) process: Process,
    pub(crate) customer: String,
    config: String,
    directory: tempfile::TempDir,
    _turn: Turn,
}

/// Held while a shop is open: by any number of them, or by one that is alone.
static TURNS: RwLock<()> = RwLock::new(());

#[expect(dead_code, reason = "they are held")]
enum Turn {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

impl Shop {
    pub(crate) fn open(name: &str) -> Result<Self> {
        Self::configured(name, |text| text)
    }

    /// One of which anything may be asked: while it is open there is no other. All of them read the same orders, and it may have those of others' customers read
    /// again, which it has letters of as well.
    pub(crate) fn alone(name: &str) -> Result<Self> {
        Self::beside(Turn::Alone(TURNS.write().unwrap_or_else(PoisonError::into_inner)), name, |text| text)
    }

    /// With another configuration.
    pub(crate) fn configured(name: &str, change: impl FnOnce(String) -> String) -> Result<Self> {
        Self::beside(Turn::Shared(TURNS.read().unwrap_or_else(PoisonError::into_inner)), name, change)
    }

    fn beside(turn: Turn, name: &str, change: impl FnOnce(String) -> String) -> Result<Self> {
        let (scene, directory) = (Scene::open(name)?, tempfile::tempdir()?);
        scene.topics.create("orders.created", 4, &[]).ok();
        scene.topics.create("shipments.requested", 4, &[]).ok();
        // Other shops read the same orders: letters are to be told apart.
        let topic = "      orders.created:\n";
        let own = format!("{topic}        dead_letter: {}.dlq\n", scene.topic);
        let config = change(fs::read_to_string(Process::config())?.replace(topic, &own));
        ensure!(config.contains(&own), "the program's configuration has changed: {config}");
        let config = scene.file("shop.yaml", &config)?;
        let process = Process::configured(&scene, 0, directory.path(), &[], Path::new(&config))?;
        let customer = scene.topic.replace(name, "customer");
        Ok(Self { customer, scene, process, config, directory, _turn: turn })
    }

    /// Another process of the same.
    pub(crate) fn again(&self, number: usize) -> Result<Process> {
        Process::configured(&self.scene, number, self.directory.path(), &[], Path::new(&self.config))
    }

    pub(crate) fn browser(&self) -> Result<Browser> {
        Browser::open(&self.process.api)
    }

    pub(crate) fn write(&self, messages: &[Message]) -> Result<()> {
        self.scene.topics.produce_to("orders.created", Partition(1), messages).map(drop)
    }

    /// An order that costs so much; one that costs nothing becomes a letter at once.
    pub(crate) fn order(&self, id: u32, cents: u32) -> Message {
        let order = json!({"id": id, "customer": self.customer, "card": "visa-4111", "cents": cents});
        Message::new(order.to_string()).key(self.customer.as_str())
    }

    /// The page of its letters.
    pub(crate) fn all_letters(&self) -> String {
        format!("{DAEMON}/letters/{}.dlq", self.scene.topic)
    }

    /// The page of this customer's letters.
    pub(crate) fn letters(&self) -> String {
        format!("{}?key={}", self.all_letters(), self.customer)
    }

    pub(crate) fn stop(mut self) -> Result<()> {
        let code = self.process.member.stop(PATIENCE)?;
        ensure!(code == 0, "it ended with {code}: {}", self.process.member.log()?);
        Ok(())
    }
}
