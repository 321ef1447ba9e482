//! A broker that lets nobody in who can't show who they are, and lets those do only what they were granted.
//!
//! The tests' own hands use its plain listener on loopback, where everybody is a super user; the daemons under test come in by
//! the others.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use daemonry::kafka::KafkaConfig;

use crate::broker::{Broker, BrokerOptions};
use crate::certificates::{Certificate, Certificates};
use crate::rights::Rights;

/// The passwords of all users, so that a test can look for it everywhere.
pub const PASSWORD: &str = "s3cr3t-pa55-of-the-tests";
/// The one user of SASL/PLAIN: its users stand in the broker's configuration.
pub const PLAIN_USER: &str = "plain-user";
/// How long a connection through [`Way::Renewed`] is good for, in milliseconds.
const RENEWAL_MS: u32 = 2_000;

/// A listener of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// SASL over TLS: PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.
    Sasl,
    /// SASL over TLS, SCRAM-SHA-256 only, where a client must show its credentials again every two seconds.
    Renewed,
    /// TLS, with a certificate of the client's.
    Certificate,
    /// The same, with a certificate of the broker's that is for another address.
    Misnamed,
}

impl Way {
    fn listener(self) -> &'static str {
        match self {
            Self::Sasl => "SASL",
            Self::Renewed => "RENEWED",
            Self::Certificate => "CERTIFICATE",
            Self::Misnamed => "MISNAMED",
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct SecuredBroker {
    broker: Broker,
    certificates: Certificates,
    rights: Rights,
}

impl SecuredBroker {
    /// Makes the certificates and starts the broker.
    ///
    /// # Errors
    /// As [`Broker::start`], and when there is no `openssl`.
    pub fn start() -> Result<Self> {
        Self::start_with(Certificates::issue)
    }

    /// One whose certificates have expired.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_expired() -> Result<Self> {
        Self::start_with(Certificates::issue_expired)
    }

    fn start_with(issue: fn(&Certificates, &str, &str) -> Result<Certificate>) -> Result<Self> {
        let directory = Broker::directory()?;
        let certificates = Certificates::make(directory.path())?;
        let store = |name: &str, addresses: &str| {
            let store = certificates.key_store(&issue(&certificates, name, addresses)?)?;
            anyhow::Ok(store.display().to_string())
        };
        let plain = format!(
            "org.apache.kafka.common.security.plain.PlainLoginModule required user_{PLAIN_USER}=\"{PASSWORD}\";"
        );
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
        let options = BrokerOptions::default()
            .listener(Way::Sasl.listener(), "SASL_SSL")
            .listener(Way::Renewed.listener(), "SASL_SSL")
            .listener(Way::Certificate.listener(), "SSL")
            .listener(Way::Misnamed.listener(), "SSL")
            .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
            .property("super.users", "User:ANONYMOUS")
            .property("ssl.keystore.type", "PEM")
            .property("ssl.keystore.location", store("broker", "DNS:localhost,IP:127.0.0.1")?)
            .property("ssl.truststore.type", "PEM")
            .property("ssl.truststore.location", certificates.authority().display())
            .property("listener.name.misnamed.ssl.keystore.location", store("elsewhere", "DNS:kafka.example.org")?)
            .property("listener.name.misnamed.ssl.client.auth", "required")
            .property("listener.name.certificate.ssl.client.auth", "required")
            .property("listener.name.sasl.sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512")
            .property("listener.name.sasl.plain.sasl.jaas.config", plain)
            .property("listener.name.sasl.scram-sha-256.sasl.jaas.config", scram)
            .property("listener.name.sasl.scram-sha-512.sasl.jaas.config", scram)
            .property("listener.name.renewed.sasl.enabled.mechanisms", "SCRAM-SHA-256")
            .property("listener.name.renewed.scram-sha-256.sasl.jaas.config", scram)
            .property("listener.name.renewed.scram-sha-256.connections.max.reauth.ms", RENEWAL_MS);
        let broker = Broker::start_in(directory, options)?;
        let rights = Rights::connect(&broker.bootstrap())?;
        Ok(Self { broker, certificates, rights })
    }

    /// Its plain listener, for the tests' own hands.
    pub fn bootstrap(&self) -> String {
        self.broker.bootstrap()
    }

    /// The address of a listener.
    pub fn address(&self, way: Way) -> String {
        self.broker.listener(way.listener())
    }

    /// Who may do what.
    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// The certificates.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// The way in for a user with a password.
    pub fn sasl(&self, mechanism: &str, user: &str, password: &str) -> Entry {
        Entry::new(self.address(Way::Sasl))
            .with("security.protocol", "sasl_ssl")
            .with("ssl.ca.location", self.certificates.authority().display())
            .with("sasl.mechanism", mechanism)
            .with("sasl.username", user)
            .with("sasl.password", password)
    }

    /// The way in for whoever has a certificate: this user gets one.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn certified(&self, user: &str) -> Result<Entry> {
        let own = self.certificates.issue(user, "DNS:localhost")?;
        Ok(Entry::new(self.address(Way::Certificate))
            .with("security.protocol", "ssl")
            .with("ssl.ca.location", self.certificates.authority().display())
            .with("ssl.certificate.location", own.certificate.display())
            .with("ssl.key.location", own.key.display()))
    }
}

/// Where a client goes, and the properties that it goes with.
#[derive(Clone, Debug)]
pub struct Entry {
    address: String,
    properties: Vec<(String, String)>,
}

impl Entry {
    /// One without any properties.
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), properties: Vec::new() }
    }

    /// The same with this property, in place of one of the same name.
    #[must_use]
    pub fn with(self, name: &str, value: impl ToString) -> Self {
        let mut this = self.without(name);
        this.properties.push((name.to_owned(), value.to_string()));
        this
    }

    /// The same without this property.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.properties.retain(|(known, _)| known != name);
        self
    }

    /// The same to another address.
    #[must_use]
    pub fn to(self, address: impl Into<String>) -> Self {
        Self { address: address.into(), ..self }
    }

    /// The address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A configuration for a member of `group`.
    pub fn config(&self, group: &str) -> KafkaConfig {
        let config = KafkaConfig::new(&self.address, group);
        self.properties.iter().fold(config, |config, (name, value)| config.property(name, value))
    }

    /// Writes the properties for a process's `--properties`, into a file of this name in `directory`.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, directory: &Path, name: &str) -> Result<PathBuf> {
        let lines: String = self.properties.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        let file = directory.join(name);
        fs::write(&file, lines)?;
        Ok(file)
    }
}
