//! This process, among those that run the same program.

use std::fs;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::Timestamp;

/// A process that runs daemons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Instance {
    /// Its name among them, which no other one has or had.
    pub(crate) id: String,
    /// The program's name.
    pub(crate) program: String,
    /// The program's version, as it says; null where it doesn't.
    #[serde(default)]
    pub(crate) program_version: Option<String>,
    /// The version of daemonry that it is built with.
    pub(crate) version: String,
    /// The machine's name: in Kubernetes the pod's.
    pub(crate) host: String,
    /// The process's number there.
    pub(crate) pid: u32,
    /// When it was started, in milliseconds since 1970 UTC.
    pub(crate) started_at: u64,
}

/// A process's name, for people.
pub(crate) fn called(host: &str, pid: u32) -> String {
    format!("{host} · {pid}")
}

impl Instance {
    /// Its name, for people.
    pub(crate) fn called(&self) -> String {
        called(&self.host, self.pid)
    }

    /// This one.
    pub(crate) fn this(program: &str, version: Option<&str>) -> Self {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let host = host.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        let host = host.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_else(|| "unknown".to_owned());
        let (pid, started_at) = (std::process::id(), Timestamp::now().as_millis());
        Self {
            id: format!("{host}-{pid}-{started_at:x}"),
            program: program.to_owned(),
            program_version: version.map(str::to_owned),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host,
            pid,
            started_at,
        }
    }
}
