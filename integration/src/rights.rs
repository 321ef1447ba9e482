//! Who may do what on a broker, and with which password.

use anyhow::{Context as _, Result, ensure};
use rdkafka::producer::{BaseProducer, Producer as _};

use crate::patience::until_true;
use crate::topics::{DEADLINE, config};
use crate::wire::admin::{self, Access};

pub use crate::wire::admin::{Mechanism, Operation, Resource};

/// The broker's table of rights, and its users.
pub struct Rights {
    // Any client will do.
    client: BaseProducer,
}

impl std::fmt::Debug for Rights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rights").finish_non_exhaustive()
    }
}

impl Rights {
    /// Connects to the brokers at `bootstrap`, as somebody who may change rights.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn connect(bootstrap: &str) -> Result<Self> {
        Ok(Self { client: config(bootstrap).create().context("cannot make a client")? })
    }

    /// Lets a user do something. The brokers know of it when this returns.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn grant(&self, user: &str, operation: Operation, resource: Resource, name: &str) -> Result<()> {
        let access = Access { user, operation, resource, name };
        let granted = admin::grant(self.client.client().native_ptr(), &access, DEADLINE);
        granted.and_then(|()| self.until_granted(&access, true)).with_context(|| format!("cannot grant {access:?}"))
    }

    /// Takes a grant back. The brokers know of it when this returns.
    ///
    /// # Errors
    /// When the broker refuses, or there was none.
    pub fn withdraw(&self, user: &str, operation: Operation, resource: Resource, name: &str) -> Result<()> {
        let access = Access { user, operation, resource, name };
        let count = admin::withdraw(self.client.client().native_ptr(), &access, DEADLINE);
        let count = count.with_context(|| format!("cannot withdraw {access:?}"))?;
        ensure!(count == 1, "cannot withdraw {access:?}: {count} such grants");
        self.until_granted(&access, false)
    }

    /// The controller answers before a broker knows.
    fn until_granted(&self, access: &Access<'_>, granted: bool) -> Result<()> {
        until_true(DEADLINE, "a change of rights", || {
            Ok(admin::is_granted(self.client.client().native_ptr(), access, DEADLINE)? == granted)
        })
    }

    /// Makes a user, or gives one another password.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn set_password(&self, user: &str, mechanism: Mechanism, password: &str) -> Result<()> {
        admin::set_password(self.client.client().native_ptr(), user, mechanism, password, DEADLINE)
            .with_context(|| format!("cannot set the password of `{user}`"))
    }
}
