//! The rows of the table of figures.

use clap::ValueEnum;

/// What is measured together.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Row {
    /// Small messages, a handler that does nothing, a long queue.
    W1a,
    /// The same with the default queue.
    Queue,
    /// Messages of 1 KiB, a handler that does nothing.
    W1b,
    /// A handler that waits for 5 ms.
    W2,
    /// A thousand messages a second.
    W3,
    /// Few keys that are most of it, and few messages that are slow.
    W4,
    /// A handler that takes JSON and state, in a layer.
    Json,
    /// Partitions without traffic.
    Idle,
    /// More workers, partitions, daemons.
    Growth,
    /// Messages of 1 MiB, and a handler that is slow.
    Large,
    /// From the start of the process to the first message.
    Start,
}

impl Row {
    /// How often each of its runs is made, where `runs` are wished for. Those that take long and depend on timers more than on the
    /// machine are made once; those that take no time, more often.
    pub fn rounds(self, runs: u32) -> u32 {
        match self {
            Self::W4 | Self::Idle | Self::Large => 1,
            Self::Start => 3 * runs,
            _ => runs,
        }
    }
}
