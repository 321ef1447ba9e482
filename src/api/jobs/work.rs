//! What a job is to do.

use crate::api::letters::which::Which;
use crate::api::letters::{own_name, refused};
use crate::api::problem::Problem;
use crate::dead_letters::{Filter, Redrive};

/// What is done to letters.
#[derive(Clone, Debug)]
pub(in crate::api) enum Work {
    Redrive { which: Which, to: Option<String>, redrive: Box<Redrive> },
    Discard { which: Which, filter: Box<Filter>, because: String },
}

impl Work {
    pub(in crate::api) fn redrive(which: Which, to: Option<String>, redrive: Redrive) -> Result<Self, Problem> {
        redrive.check().map_err(refused)?;
        Ok(Self::Redrive { which, to, redrive: Box::new(redrive) })
    }

    pub(in crate::api) fn discard(which: Which, because: String) -> Result<Self, Problem> {
        let filter = which.filter()?;
        if because.trim().is_empty() {
            return Err(Problem::bad_request("say in `reason` why they are given up"));
        }
        Ok(Self::Discard { which, filter: Box::new(filter), because })
    }

    pub(in crate::api) fn which(&self) -> &Which {
        match self {
            Self::Redrive { which, .. } | Self::Discard { which, .. } => which,
        }
    }

    /// What it is counted by.
    pub(super) fn counted(&self) -> Redrive {
        match self {
            Self::Redrive { redrive, .. } => redrive.as_ref().clone(),
            // Whatever was re-driven how often can be given up.
            Self::Discard { filter, .. } => Redrive::new(own_name(), filter.as_ref().clone()).cap(u32::MAX),
        }
    }
}
