//! The API's section.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Address;
use crate::api::{DEFAULT_ADDRESS, Role};
use crate::config::secret::Secret;

/// The admin API over HTTP: what the daemons are at, and how they are steered.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct ApiSection {
    /// Whether it is served.
    pub(in crate::config) enabled: bool,
    /// Where it is served. Without tokens whoever can reach it is an admin, so it must be a loopback address then.
    pub(in crate::config) address: Address,
    /// The certificate that it is served with, over TLS alone then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) tls: Option<CertificateSection>,
    /// Names that it is reached by, beside `localhost` and addresses: those of a Service, or an Ingress.
    pub(in crate::config) hosts: Vec<String>,
    /// Networks of proxies that are believed whom they ask for, by `X-Forwarded-For` or `Forwarded`: as in `10.0.0.0/8`. Without them whoever comes through a
    /// proxy is counted, and written down, as that.
    pub(in crate::config) trusted_proxies: Vec<String>,
    /// Fields that are hidden from all but admins, by their names: in records that are JSON, at any depth and in any case, and in headers. Values
    /// that are not JSON are hidden as a whole then.
    pub(in crate::config) masked_fields: Vec<String>,
    /// Who may ask, each by a name of yours, which stands in the audit log.
    pub(in crate::config) tokens: BTreeMap<String, TokenSection>,
}

impl Default for ApiSection {
    fn default() -> Self {
        Self {
            enabled: false,
            address: Address(DEFAULT_ADDRESS),
            tls: None,
            hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            masked_fields: Vec::new(),
            tokens: BTreeMap::new(),
        }
    }
}

/// The certificate that something is served with. Both files are in PEM, and read anew within 5 s of a change.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct CertificateSection {
    /// The certificate's file, with those that lead from it to its authority.
    pub(in crate::config) certificate: String,
    /// The file of its key.
    pub(in crate::config) key: String,
}

/// Somebody who may ask.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct TokenSection {
    /// What they may.
    pub(in crate::config) role: Option<Role>,
    /// What they show; 16 characters at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) token: Option<Secret>,
    /// A file with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) token_file: Option<String>,
}
