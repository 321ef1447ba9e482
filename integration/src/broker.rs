//! A real Kafka broker as a child process: one node, alone or of a [cluster](crate::Cluster), on loopback, its data in a directory that
//! goes with it.
//!
//! The invariant: no broker outlives its owner, not even one that is killed with -9. A shell stands between the two and
//! holds the read end of a pipe; when our end closes, for whatever reason, it kills the broker and removes the data.
//! The same pipe carries the signals, so no process id is ever kept that could have come to mean another process.
//!
//! With `DAEMONRY_KEEP_BROKERS=1` the data stays where it is, for whoever wants to read a broker's log segments after a failure.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use daemonry::record::Partition;
use tempfile::TempDir;

use crate::address::answers;
use crate::kafka_home::KafkaHome;

const SERVER_PROPERTIES: &str = include_str!("../kafka/server.properties");
const LOG4J_PROPERTIES: &str = include_str!("../kafka/log4j2.properties");

/// How long a start may take; on an idle machine it takes three seconds.
const START_DEADLINE: Duration = Duration::from_secs(90);

/// Runs `$2…` and obeys the pipe on standard input: a line is the name of a signal for it, the end of the input means
/// that the owner is gone, whose data directory `$1` nobody else would remove. Exits as the program does.
const KEEPER: &str = r#"
data=$1; shift
exec 3<&0
"$@" </dev/null 3<&- & broker=$!
{
  while read -r signal; do kill -s "$signal" "$broker"; done <&3
  # The broker's end must not be ours before the data is gone.
  trap '' TERM
  kill -s KILL "$broker"
  [ -n "${DAEMONRY_KEEP_BROKERS-}" ] || rm -rf -- "$data"
} 2>/dev/null & listener=$!
wait "$broker"; status=$?
kill "$listener" 2>/dev/null
exit "$status"
"#;

/// What to start: by default a broker with the settings of `integration/kafka/server.properties`.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    heap_mib: u32,
    listeners: Vec<Listener>,
    properties: BTreeMap<String, String>,
}

/// A way in beside the plain one.
#[derive(Clone, Debug)]
struct Listener {
    name: String,
    protocol: String,
    /// The port that clients are told, where it isn't the listener's own.
    advertised: Option<u16>,
}

/// What makes a broker one of a cluster. Each one is a controller too.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// From 1.
    pub(crate) id: u16,
    /// The same for all of them.
    pub(crate) cluster_id: String,
    /// The ports of the controllers, that of node 1 first.
    pub(crate) controllers: Vec<u16>,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        Self { heap_mib: 768, listeners: Vec::new(), properties: BTreeMap::new() }
    }
}

impl BrokerOptions {
    /// Sets a property of the broker, such as `message.max.bytes`, over what the default says.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.properties.insert(name.into(), value.to_string());
        self
    }

    /// Adds a listener on a free port, such as `SECURE` with the protocol `SASL_SSL`, beside the plain one. What the protocol needs is set
    /// by properties.
    #[must_use]
    pub fn listener(mut self, name: &str, protocol: &str) -> Self {
        self.listeners.push(Listener { name: name.to_owned(), protocol: protocol.to_owned(), advertised: None });
        self
    }

    /// Adds a plain listener on a free port of which clients are told another one: where a [proxy](crate::Proxy) stands.
    #[must_use]
    pub fn listener_behind(mut self, name: &str, advertised: u16) -> Self {
        let listener =
            Listener { name: name.to_owned(), protocol: "PLAINTEXT".to_owned(), advertised: Some(advertised) };
        self.listeners.push(listener);
        self
    }

    /// With so many replicas of each topic, of which all but one must be there.
    pub(crate) fn replicated(self, replicas: usize) -> Self {
        let topics = ["default", "offsets.topic", "transaction.state.log", "share.coordinator.state.topic"];
        let this =
            topics.iter().fold(self, |this, topic| this.property(format!("{topic}.replication.factor"), replicas));
        let least = replicas.saturating_sub(1).max(1);
        let logs = ["transaction.state.log.min.isr", "share.coordinator.state.topic.min.isr", "min.insync.replicas"];
        logs.iter().fold(this, |this, log| this.property(*log, least))
    }

    /// How many ports a broker of these takes, beside its controller's.
    pub(crate) fn ports(&self) -> usize {
        1 + self.listeners.len()
    }

    /// Sets the heap's limit, in MiB; 768 by default.
    #[must_use]
    pub fn heap_mib(mut self, mib: u32) -> Self {
        self.heap_mib = mib;
        self
    }
}

/// A running broker, or one that was stopped and can be started again on the same port with the same data.
///
/// Dropping it kills the process, waits for its end and removes the data.
#[derive(Debug)]
pub struct Broker {
    // First, so that the process has ended before the directory goes.
    running: Option<Running>,
    home: KafkaHome,
    options: BrokerOptions,
    node: Node,
    port: u16,
    /// The ports of the other listeners, by name.
    listeners: BTreeMap<String, u16>,
    directory: TempDir,
}

impl Broker {
    /// Formats a new data directory, starts a broker on a free port and waits until it answers.
    ///
    /// # Errors
    /// When Java or Kafka's jars can't be had, or the broker doesn't answer in time; the message holds the end of its log.
    pub fn start(options: BrokerOptions) -> Result<Self> {
        Self::start_in(Self::directory()?, options)
    }

    /// A directory to start a broker in.
    pub(crate) fn directory() -> Result<TempDir> {
        let mut directory = tempfile::Builder::new().prefix("daemonry-kafka-").tempdir()?;
        directory.disable_cleanup(env::var_os("DAEMONRY_KEEP_BROKERS").is_some_and(|keep| !keep.is_empty()));
        Ok(directory)
    }

    /// As [`start`](Self::start), with whatever the directory holds already; it goes with the broker.
    pub(crate) fn start_in(directory: TempDir, options: BrokerOptions) -> Result<Self> {
        let mut ports = free_ports(1 + options.ports())?;
        let controllers = vec![ports.pop().context("as many as were asked for")?];
        let mut broker =
            Self::prepare(directory, options, Node { id: 1, cluster_id: cluster_id(), controllers }, ports)?;
        broker.restart()?;
        Ok(broker)
    }

    /// A broker that doesn't run yet, on these ports, as many as its options [take](BrokerOptions::ports).
    pub(crate) fn prepare(directory: TempDir, options: BrokerOptions, node: Node, ports: Vec<u16>) -> Result<Self> {
        let home = KafkaHome::locate()?;
        let mut ports = ports.into_iter();
        let port = ports.next().context("a broker has a port")?;
        let listeners = options.listeners.iter().map(|listener| listener.name.clone()).zip(ports).collect();
        let broker = Self { running: None, home, options, node, port, listeners, directory };
        broker.write_configuration()?;
        broker.format()?;
        Ok(broker)
    }

    /// The address to give to clients as `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// The address of another listener.
    ///
    /// # Panics
    /// When the options named no such listener.
    pub fn listener(&self, name: &str) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.listeners[name])
    }

    /// The file with a partition's records, as long as there are few.
    pub fn segment(&self, topic: &str, partition: Partition) -> PathBuf {
        self.directory.path().join("data").join(format!("{topic}-{partition}")).join("00000000000000000000.log")
    }

    /// Kills the broker with SIGKILL and waits for its end. One that doesn't run stays so.
    ///
    /// # Errors
    /// When the process can't be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.end("KILL")
    }

    /// Stops the broker with SIGTERM and waits for its end. One that doesn't run stays so.
    ///
    /// # Errors
    /// When the process can't be waited for.
    pub fn stop(&mut self) -> Result<()> {
        self.end("TERM")
    }

    /// Freezes the broker with SIGSTOP: connections stay open and nothing answers on them.
    ///
    /// # Errors
    /// When the broker doesn't run.
    pub fn freeze(&mut self) -> Result<()> {
        self.running()?.signal("STOP")
    }

    /// Lets a frozen broker go on, with SIGCONT.
    ///
    /// # Errors
    /// When the broker doesn't run.
    pub fn thaw(&mut self) -> Result<()> {
        self.running()?.signal("CONT")
    }

    /// Starts the broker again, on the same port with the same data, and waits until it answers. One that still runs
    /// is stopped first.
    ///
    /// # Errors
    /// When the broker doesn't answer in time; the message holds the end of its log.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.launch()?;
        self.until_it_answers()
    }

    /// Whether it was started, and not stopped since.
    pub(crate) fn runs(&self) -> bool {
        self.running.is_some()
    }

    fn running(&mut self) -> Result<&mut Running> {
        self.running.as_mut().context("the broker does not run: restart it first")
    }

    fn end(&mut self, signal: &str) -> Result<()> {
        match self.running.take() {
            Some(running) => running.end(signal),
            None => Ok(()),
        }
    }

    fn format(&self) -> Result<()> {
        let output = self
            .home
            .class("kafka.tools.StorageTool", &self.jvm_flags())
            .args(["format", "-t", &self.node.cluster_id, "-c"])
            .arg(self.directory.path().join("server.properties"))
            .output()
            .context("cannot run java: install Java 17 or later, or set KAFKA_BROKERS")?;
        ensure!(
            output.status.success(),
            "cannot format the broker's storage ({}; Kafka needs Java 17 or later):\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        Ok(())
    }

    /// Starts the process, and waits for nothing: of a cluster none answers before most of them run.
    pub(crate) fn launch(&mut self) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.directory.path().join("broker.log"))?;
        let mut java = self.home.class("kafka.Kafka", &self.jvm_flags());
        java.arg(self.directory.path().join("server.properties"));
        self.running = Some(Running::launch(&java, self.directory.path(), log)?);
        Ok(())
    }

    /// Waits until the process that was launched answers.
    pub(crate) fn until_it_answers(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        let failure = loop {
            if let Some(status) = self.running()?.exited()? {
                break anyhow::anyhow!("the broker ended before it answered ({status})");
            }
            match answers(&self.bootstrap(), Duration::from_secs(1)) {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() >= deadline => break error.context("the broker did not start in time"),
                Err(_) => {}
            }
        };
        self.kill()?;
        bail!("{failure:#}; its log ends with:\n{}", self.log_tail())
    }

    fn jvm_flags(&self) -> Vec<String> {
        let mut flags = vec![
            format!("-Xmx{}m", self.options.heap_mib),
            format!("-Dlog4j2.configurationFile={}", self.directory.path().join("log4j2.properties").display()),
        ];
        if self.node.controllers.len() > 1 {
            // Several share a machine: none is to spend it on collecting and compiling.
            flags.extend(["-XX:+UseSerialGC".to_owned(), "-XX:TieredStopAtLevel=1".to_owned()]);
        }
        flags
    }

    fn write_configuration(&self) -> Result<()> {
        let host = Ipv4Addr::LOCALHOST;
        let mut listeners = format!("PLAINTEXT://{host}:{}", self.port);
        let mut advertised = listeners.clone();
        let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
        for Listener { name, protocol, advertised: told } in &self.options.listeners {
            let own = self.listeners[name];
            write!(listeners, ",{name}://{host}:{own}")?;
            write!(advertised, ",{name}://{host}:{}", told.unwrap_or(own))?;
            write!(protocols, ",{name}:{protocol}")?;
        }
        let Node { id, controllers, .. } = &self.node;
        let voters: Vec<String> = (1..).zip(controllers).map(|(id, port)| format!("{id}@{host}:{port}")).collect();
        let controller = controllers.get(usize::from(*id) - 1).context("each node has a controller's port")?;
        let directory = self.directory.path();
        let mut properties = format!(
            "{SERVER_PROPERTIES}\n\
             node.id={id}\n\
             listeners={listeners},CONTROLLER://{host}:{controller}\n\
             advertised.listeners={advertised}\n\
             listener.security.protocol.map={protocols}\n\
             controller.quorum.voters={}\n\
             log.dirs={}\n",
            voters.join(","),
            directory.join("data").display(),
        );
        for (name, value) in &self.options.properties {
            // Of two lines for one property the later one counts.
            writeln!(properties, "{name}={value}")?;
        }
        fs::write(directory.join("server.properties"), properties)?;
        fs::write(directory.join("log4j2.properties"), LOG4J_PROPERTIES)?;
        Ok(())
    }

    /// The last lines that the broker logged.
    pub fn log_tail(&self) -> String {
        const LINES: usize = 40;
        let log = fs::read(self.directory.path().join("broker.log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

/// The shell that keeps the broker, and our end of its pipe.
#[derive(Debug)]
struct Running {
    keeper: Child,
    // Taken only to close it.
    pipe: Option<ChildStdin>,
}

impl Running {
    fn launch(java: &Command, directory: &Path, log: File) -> Result<Self> {
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "kafka-keeper"])
            .arg(directory)
            .arg(java.get_program())
            .args(java.get_args())
            // A group of its own: a Ctrl-C at the terminal is for the tests, which then end the broker themselves.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run sh")?;
        let pipe = keeper.stdin.take();
        Ok(Self { keeper, pipe })
    }

    fn signal(&mut self, name: &str) -> Result<()> {
        let pipe = self.pipe.as_mut().expect("the pipe is open until the end");
        writeln!(pipe, "{name}").with_context(|| format!("cannot send SIG{name} to the broker: it has ended"))
    }

    fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.keeper.try_wait().context("cannot wait for the broker")
    }

    fn end(mut self, signal: &str) -> Result<()> {
        // A broker that has ended by itself can't be signalled: that is what was asked for.
        if self.signal(signal).is_err() && self.exited()?.is_none() {
            bail!("the broker's keeper no longer listens");
        }
        // The pipe stays open while we wait (`Child::wait` closes only a stdin it still holds): its end would
        // turn a stop into a kill.
        self.keeper.wait().context("cannot wait for the broker")?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.pipe = None;
        // The keeper kills what it keeps as soon as the pipe closes; there is nobody to tell of a failure.
        drop(self.keeper.wait());
    }
}

/// Ports that nobody listens on, below those that the system hands out to connecting sockets. One of theirs could be
/// taken while the broker is down, or, worse, a client that reconnects to it could get connected to itself.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>> {
    let mut random = fastrand::Rng::new();
    let free = (0..200).map(|_| random.u16(12_000..32_000)).filter_map(|port| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        Some((port, listener))
    });
    // All are held until all are known, so that they differ.
    let held: Vec<(u16, TcpListener)> = free.take(count).collect();
    ensure!(held.len() == count, "no {count} free ports between 12000 and 32000 on {}", Ipv4Addr::LOCALHOST);
    Ok(held.into_iter().map(|(port, _)| port).collect())
}

/// A new cluster's id: 16 bytes in base64 without padding, here from letters and digits only; the last of the 22
/// characters carries just two bits.
pub(crate) fn cluster_id() -> String {
    let mut id: String = (0..21).map(|_| fastrand::alphanumeric()).collect();
    id.push('A');
    id
}
