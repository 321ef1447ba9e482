//! Whoever watches work on letters: hears how far it is, and may end it.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::{Counts, LettersError};

/// See the module; nobody by default. Called from the thread that works.
#[derive(Clone, Default)]
pub(super) struct Watch(Option<Arc<dyn Fn(Counts) -> ControlFlow<()> + Send + Sync>>);

impl Watch {
    pub(super) fn by(watch: impl Fn(Counts) -> ControlFlow<()> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(watch)))
    }

    /// Tells how far it is. An error where that is far enough.
    pub(super) fn tell(&self, counts: Counts) -> Result<(), LettersError> {
        match &self.0 {
            Some(watch) if watch(counts).is_break() => Err(LettersError::Stopped),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.0.is_some()).finish()
    }
}
