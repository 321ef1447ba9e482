//! What a consumer that is measured is started with.

use clap::{Parser, ValueEnum};

use crate::work::Work;

/// The flags of a consumer.
#[derive(Parser, Clone, Debug)]
pub struct Flags {
    /// Bootstrap servers.
    #[arg(long, default_value = "127.0.0.1:9092")]
    pub brokers: String,
    /// The topic that is read.
    #[arg(long, default_value = "")]
    pub topic: String,
    /// A group that was never used before.
    #[arg(long, default_value = "")]
    pub group: String,
    /// Messages to handle.
    #[arg(long)]
    pub count: u64,
    /// What the handler does: none, sleep:MS, cpu:US, skew:MS:SLOWMS.
    #[arg(long, default_value = "none", value_parser = Work::parse)]
    pub work: Work,
    /// Handlers at once, where the consumer has such a thing.
    #[arg(long, default_value_t = 8)]
    pub concurrency: usize,
    /// The order that is to be kept.
    #[arg(long, default_value = "partition")]
    pub ordering: Order,
    /// librdkafka properties, `k=v,...`.
    #[arg(long, default_value = "")]
    pub set: String,
}

/// The order that a consumer keeps.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Of a partition.
    Partition,
    /// Of a key.
    Key,
    /// None.
    None,
}

impl Order {
    /// As the flag has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::Key => "key",
            Self::None => "none",
        }
    }
}

impl Flags {
    /// The properties of `--set`, by name.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.set.split(',').filter_map(|pair| pair.split_once('='))
    }
}
