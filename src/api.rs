//! The admin API: what the daemons of a process are at, and what is done about it, as JSON under `/api/v1`, and as pages for people.
//!
//! It has an address, a thread and a runtime of its own: the probes and the metrics of [`admin`](crate::admin) answer whatever goes on
//! here. Owned by the supervisor. The invariants: no route is there without a role, and whoever has a lower one is refused; what is changed,
//! or was refused to be, is in the audit log, with who did it; nothing that anybody sends holds a daemon up.
//!
//! | role | may |
//! |---|---|
//! | `viewer` | see what the daemons are at, and dead letters without their records |
//! | `operator` | pause, resume, slow down, seek; see records, but for masked fields; re-drive and discard dead letters |
//! | `admin` | everything |
//!
//! **Who asks** says so with a bearer token, or signs in with it. Without any token in the configuration whoever can reach the address is an admin, and it must
//! be a loopback address then. **Browsers** are kept from being used against it: a name in `Host` that isn't this machine's or configured is
//! refused, and so is a change that comes from another site.

mod access;
mod audit;
mod commands;
mod daemons;
mod doctor;
mod endpoint;
mod fleet;
mod gate;
mod instance;
mod jobs;
mod letters;
mod limit;
mod masks;
mod openapi;
mod overrides;
mod problem;
mod proxies;
mod rate;
mod routes;
mod server;
mod state;
mod streams;
mod topics;
mod ui;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

pub use crate::admin::CertificateError;
use crate::admin::CertificateFiles;
pub use access::{Role, Token};
pub(crate) use audit::AuditEntry;
#[cfg(feature = "cli")]
pub(crate) use audit::AuditShown;
#[cfg(feature = "cli")]
pub(crate) use commands::{Acknowledgement, CommandShown, CommandsShown, InInstance};
pub(crate) use daemons::shown;
use doctor::Examine;
pub use doctor::{Finding, Severity};
#[cfg(feature = "cli")]
pub(crate) use fleet::{DaemonInFleet, DaemonInInstance, DaemonShown, FleetShown, InstanceShown};
pub(crate) use instance::{Instance, called};
#[cfg(feature = "cli")]
pub(crate) use overrides::{LiftRequest, Lifted, OverridesShown};
pub use proxies::{Network, NotANetwork};
pub(crate) use server::ApiServer;
#[cfg(feature = "cli")]
pub(crate) use ui::encoded;

/// Where the API listens unless it is told otherwise.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9466));

/// Where the API is served, and to whom.
///
/// ```
/// use daemonry::api::{self, ApiConfig, Role, Token};
/// use daemonry::supervisor::Supervisor;
///
/// let token = Token::new("ada", Role::Operator, "a text that nobody guesses");
/// let api = ApiConfig::new(api::DEFAULT_ADDRESS).token(token).host("shop.example.org");
/// let supervisor = Supervisor::new().api(api);
/// # drop(supervisor);
/// ```
#[derive(Clone, Debug)]
pub struct ApiConfig {
    pub(crate) address: SocketAddr,
    pub(crate) tokens: Vec<Token>,
    pub(crate) hosts: Vec<String>,
    pub(crate) proxies: Vec<Network>,
    pub(crate) configuration: Option<String>,
    pub(crate) masked: Vec<String>,
    pub(crate) tls: Option<CertificateFiles>,
    pub(crate) doctor: Option<Examine>,
}

/// What is wrong with an [`ApiConfig`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiConfigError {
    /// Everybody who can reach it would be an admin.
    #[error("the API can't be served on {0} to whoever asks: configure a token, or a loopback address")]
    Open(SocketAddr),
    /// It can be guessed.
    #[error("the token of `{0}` has fewer than 16 characters: make a longer one, as with `openssl rand -hex 32`")]
    Short(String),
    /// Nobody could tell who asks.
    #[error("`{0}` and `{1}` have the same token: give each one of their own")]
    Shared(String, String),
    /// There is no certificate to show.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

impl ApiConfig {
    /// Served on this address, to whoever can reach it: it must be a loopback address unless there is a [`token`](Self::token).
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            tokens: Vec::new(),
            hosts: Vec::new(),
            proxies: Vec::new(),
            configuration: None,
            masked: Vec::new(),
            tls: None,
            doctor: None,
        }
    }

    /// Whoever has this token may ask; nobody may without one from then on.
    #[must_use]
    pub fn token(mut self, token: Token) -> Self {
        self.tokens.push(token);
        self
    }

    /// It is reached by this name too, as through a Service or an Ingress. `localhost` and addresses always are good names.
    #[must_use]
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into());
        self
    }

    /// Who asks by way of a proxy in this network is whom `X-Forwarded-For` or `Forwarded` names, for all that is counted or written down by address; of
    /// whoever else has sent such a header it is not believed. A proxy must be one that puts whom it was asked by at its end.
    #[must_use]
    pub fn trusted_proxy(mut self, network: Network) -> Self {
        self.proxies.push(network);
        self
    }

    /// Shows this text to operators as what the program was configured with. It must have no secrets in it. An [`App`](crate::app::App) says what
    /// its command `config print` does.
    #[must_use]
    pub fn configuration(self, text: impl Into<String>) -> Self {
        Self { configuration: Some(text.into()), ..self }
    }

    /// Hides fields of this name from all but admins: in the keys and values of records that are JSON, at any depth and in any case, and in
    /// headers. A value that is not JSON is hidden as a whole then.
    #[must_use]
    pub fn mask(mut self, field: impl Into<String>) -> Self {
        self.masked.push(field.into());
        self
    }

    /// Looks for what is wrong around the program in this way, when an operator asks for it; `Err` says why it can't. It is given two minutes. An
    /// [`App`](crate::app::App) does what its command `doctor` does.
    #[must_use]
    pub fn doctor<F>(self, examine: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Vec<Finding>, String>> + Send + 'static,
    {
        Self { doctor: Some(Examine::new(examine)), ..self }
    }

    /// Serves it over TLS alone. Both are files in PEM: the certificate with those that lead from it to its authority, and its key. They are read
    /// anew within 5 s of a change; where that fails, what was read before is shown.
    #[must_use]
    pub fn tls(self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { tls: Some(CertificateFiles { certificate: certificate.into(), key: key.into() }), ..self }
    }

    /// Everything that is wrong with it, the files of its certificate included.
    ///
    /// # Errors
    /// All of it.
    pub fn check(&self) -> Result<(), Vec<ApiConfigError>> {
        let mut errors = Vec::new();
        if self.tokens.is_empty() && !is_loopback(self.address.ip()) {
            errors.push(ApiConfigError::Open(self.address));
        }
        for (index, token) in self.tokens.iter().enumerate() {
            if token.is_short() {
                errors.push(ApiConfigError::Short(token.name().to_owned()));
            }
            let twin = self.tokens[..index].iter().find(|other| other.is_same(token));
            errors.extend(twin.map(|twin| ApiConfigError::Shared(twin.name().to_owned(), token.name().to_owned())));
        }
        errors.extend(self.tls.as_ref().and_then(|files| files.read().err()).map(ApiConfigError::Certificate));
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
