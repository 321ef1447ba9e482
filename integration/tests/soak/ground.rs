//! What the processes stand on: brokers, networks and a clock, each of which fails.

use std::time::Duration;

use anyhow::Result;
use integration::{BrokerOptions, Clock, Cluster, Commits, Link, Proxy};
use tempfile::TempDir;

pub(crate) const BROKERS: usize = 3;

/// Brokers, each with a network before it.
pub(crate) struct Ground {
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) cluster: Cluster,
    pub(crate) session: Duration,
    /// That of the processes.
    pub(crate) clock: Clock,
    /// Of its files.
    _directory: TempDir,
}

impl Ground {
    pub(crate) fn start(session: Duration) -> Result<Self> {
        const NAME: &str = "PROXIED";
        let proxies = (0..BROKERS).map(|_| Proxy::start_understanding()).collect::<Result<Vec<_>>>()?;
        let behind = |proxy: &Proxy| {
            let options = BrokerOptions::default().property("group.consumer.session.timeout.ms", session.as_millis());
            options.listener_behind(NAME, proxy.port())
        };
        let cluster = Cluster::start_each(proxies.iter().map(behind).collect())?;
        for (proxy, listener) in proxies.iter().zip(cluster.listeners(NAME)) {
            proxy.lead_to(&listener)?;
        }
        let directory = tempfile::tempdir()?;
        let clock = Clock::start(directory.path())?;
        Ok(Self { proxies, cluster, session, clock, _directory: directory })
    }

    /// The way of the processes to the brokers.
    pub(crate) fn bootstrap(&self) -> String {
        self.proxies.iter().map(Proxy::address).collect::<Vec<_>>().join(",")
    }

    pub(crate) fn link(&self, link: Link) {
        self.proxies.iter().for_each(|proxy| proxy.set(link));
    }

    /// What becomes of all commits.
    pub(crate) fn commits(&self, commits: Commits) {
        self.proxies.iter().for_each(|proxy| proxy.have_commits(commits));
    }
}
