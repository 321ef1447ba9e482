//! Whose programs are measured, and what each can do.

use std::env;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use meter::Order;

use crate::builder::Builder;

/// A program that consumes.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// What programs there are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `examples/peer.rs`.
    Daemonry,
    /// A loop over rdkafka.
    Raw,
    /// A loop over rdkafka that hands its messages to tokio's tasks.
    Handing,
    /// Tokio's tasks, without Kafka.
    Bare,
    /// A Go client; order by partition.
    Go,
    /// ruststream; order by key too.
    Ruststream,
    /// Somebody's, by its command line.
    Given(Vec<String>),
}

/// Ours, and what it stands on.
pub const OURS: [(&str, Kind); 5] = [
    ("rawt", Kind::Raw),
    ("rawb", Kind::Raw),
    ("rawh", Kind::Handing),
    ("bare", Kind::Bare),
    ("daemonry", Kind::Daemonry),
];
/// Other frameworks and clients.
pub const OTHERS: [(&str, Kind); 3] = [("franz", Kind::Go), ("kafkago", Kind::Go), ("ruststream", Kind::Ruststream)];

impl Peer {
    /// All of [`OURS`].
    pub fn ours() -> Vec<Self> {
        OURS.map(|(name, kind)| Self { name: name.to_owned(), kind }).into()
    }

    /// One of [`OTHERS`] by its name, or any program as `NAME=COMMAND`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn named(text: &str) -> Result<Self> {
        if let Some((name, command)) = text.split_once('=') {
            let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
            if name.is_empty() || command.is_empty() {
                bail!("`{text}` is no NAME=COMMAND");
            }
            return Ok(Self { name: name.to_owned(), kind: Kind::Given(command) });
        }
        let known = OTHERS.into_iter().find(|(name, _)| *name == text);
        let (name, kind) = known.with_context(|| {
            let names = OTHERS.map(|(name, _)| name).join(", ");
            format!("`{text}` is no peer: give one of {names}, or NAME=COMMAND")
        })?;
        Ok(Self { name: name.to_owned(), kind })
    }

    /// Whether it is built with the workspace.
    pub fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Daemonry | Kind::Raw | Kind::Handing | Kind::Bare)
    }

    /// Whether it reads Kafka and can keep this order. Without one of its own it keeps none.
    pub fn keeps(&self, order: Order) -> bool {
        match self.kind {
            Kind::Bare => false,
            Kind::Raw | Kind::Handing => order == Order::Partition,
            Kind::Go => order != Order::Key,
            Kind::Daemonry | Kind::Ruststream | Kind::Given(_) => true,
        }
    }

    /// Its command line. It is built, where that is not done with the workspace.
    ///
    /// # Errors
    /// Why it can't be run.
    pub fn command(&self, builder: &Builder) -> Result<Vec<String>> {
        let program = match &self.kind {
            Kind::Given(command) => return Ok(command.clone()),
            Kind::Daemonry => beside("examples/peer")?,
            Kind::Raw | Kind::Handing | Kind::Bare => beside(&self.name)?,
            Kind::Go => builder.go(&self.name)?,
            Kind::Ruststream => builder.ruststream()?,
        };
        Ok(vec![program.to_string_lossy().into_owned()])
    }
}

/// A program that was built with this one, which stands beside it, or as a test in `deps`.
fn beside(name: &str) -> Result<PathBuf> {
    let own = env::current_exe()?;
    let mut programs = own.ancestors().skip(1).take(2).map(|directory| directory.join(name));
    programs.find(|program| program.is_file()).with_context(|| format!("{name} is missing: run it by `make bench`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_named_or_given_by_their_command() {
        assert_eq!(Peer::named("franz").unwrap().kind, Kind::Go);
        let given = Peer::named("before=./peer --queue 100").unwrap();
        assert_eq!(
            (given.name.as_str(), given.kind.clone()),
            ("before", Kind::Given(["./peer", "--queue", "100"].map(str::to_owned).into()))
        );
        for wrong in ["spring", "=./peer", "before=", ""] {
            assert!(Peer::named(wrong).is_err(), "{wrong}");
        }
    }
}
