//! What handlers do with a message that they do something with.

use clap::ValueEnum;
use serde::Deserialize;

/// What a handler takes.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Handler {
    /// The message as it is.
    #[default]
    None,
    /// A [`Body`].
    Json,
}

/// The message, as a service would take it.
#[derive(Deserialize, Debug)]
pub struct Body {
    /// Its number.
    pub n: u64,
    /// Its key.
    pub k: u64,
    /// What fills it up.
    pub p: String,
}
