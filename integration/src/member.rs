//! A process of a program under test, mostly of `examples/ledger`: started with flags, signalled, waited for; its log is a file.
//!
//! The invariant: it doesn't outlive its owner.

use std::env;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

use crate::patience::until;

/// What a process is started with: flags of its program, by name.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    command: Option<String>,
    flags: Vec<(String, String)>,
    is_steered: bool,
    log_filter: Option<String>,
    environment: Vec<(String, OsString)>,
}

impl Flags {
    /// The same with this flag, without its dashes; an earlier value of it is replaced.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.flags.retain(|(known, _)| known != name);
        self.flags.push((name.to_owned(), value.to_string()));
        self
    }

    /// The same without this flag: with what the program has by default.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.flags.retain(|(known, _)| known != name);
        self
    }

    /// The same with these properties of librdkafka's, in a file of their own in that directory.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn properties(self, directory: &Path, properties: &[(&str, u64)]) -> Result<Self> {
        let (mut file, path) = tempfile::Builder::new().suffix(".properties").tempfile_in(directory)?.keep()?;
        for (name, value) in properties {
            writeln!(file, "{name}={value}")?;
        }
        Ok(self.with("properties", path.display()))
    }

    /// The same with a command before the flags.
    #[must_use]
    pub fn command(self, command: &str) -> Self {
        Self { command: Some(command.to_owned()), ..self }
    }

    /// The same with a standard input that takes [commands](Member::order).
    #[must_use]
    pub fn steered(self) -> Self {
        Self { is_steered: true, ..self }
    }

    /// The same with another filter of its log, as in `RUST_LOG`.
    #[must_use]
    pub fn log(self, filter: &str) -> Self {
        Self { log_filter: Some(filter.to_owned()), ..self }
    }

    /// The same with a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// What a flag was given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.flags.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn arguments(&self) -> impl Iterator<Item = String> {
        let flags = self.flags.iter().flat_map(|(name, value)| [format!("--{name}"), value.clone()]);
        self.command.clone().into_iter().chain(flags).chain(self.is_steered.then(|| "--steer".to_owned()))
    }
}

/// CPU time of a process.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    /// In its own code.
    pub user: Duration,
    /// In the system, on its behalf.
    pub system: Duration,
}

/// A running process, or one that has ended.
#[derive(Debug)]
pub struct Member {
    child: Child,
    log: PathBuf,
    /// Where its admin server listens, once that is known.
    admin: Option<String>,
    /// The most memory that it held, as far as it was asked.
    peak: Arc<AtomicU64>,
}

impl Member {
    /// Starts one of `examples/ledger`, which logs into the file `log`.
    ///
    /// # Errors
    /// When the program was not built, or can't be run.
    pub fn start(flags: &Flags, log: PathBuf) -> Result<Self> {
        Self::start_example("ledger", flags, log)
    }

    /// Starts one of this example.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_example(example: &str, flags: &Flags, log: PathBuf) -> Result<Self> {
        let mut command = Command::new(program(example)?);
        command
            .args(flags.arguments())
            .env("RUST_LIB_BACKTRACE", "0")
            .envs(flags.log_filter.iter().map(|filter| ("RUST_LOG", filter)))
            .envs(flags.environment.iter().cloned())
            .stdin(if flags.is_steered { Stdio::piped() } else { Stdio::null() });
        let mut member = Self::run(command, log)?;
        // Given, unless any port would do.
        member.admin = flags.get("admin").filter(|address| !address.ends_with(":0")).map(str::to_owned);
        Ok(member)
    }

    /// Starts this, which logs into the file `log` all that it writes.
    ///
    /// # Errors
    /// When it can't be run.
    pub fn run(mut command: Command, log: PathBuf) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(&log)?;
        let child = command.stdout(file.try_clone()?).stderr(file).spawn();
        let child = child.with_context(|| format!("cannot run {}", command.get_program().display()))?;
        Ok(Self { child, log, admin: None, peak: Arc::default() })
    }

    /// The most memory that it held, in bytes, as of the last signal to it; 0 before.
    pub(crate) fn peak(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.peak)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }

    /// Where it logs to.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Waits until its log has this text in it.
    ///
    /// # Errors
    /// When it hasn't in time, or the process has ended without it.
    pub fn until_log(&mut self, text: &str, deadline: Duration) -> Result<()> {
        let what = format!("`{text}` in the log {}", self.log.display());
        until(deadline, &what, || {
            // Asked first: what it logged at its end is read afterwards.
            let ended = self.ended()?;
            let there = self.log()?.contains(text);
            ensure!(there || ended.is_none(), "process {} ended, but {what} is missing", self.pid());
            Ok(there.then_some(()))
        })
    }

    /// Sends a command, a line of its standard input.
    ///
    /// # Errors
    /// When it takes none.
    pub fn order(&mut self, command: &str) -> Result<()> {
        let input = self.child.stdin.as_mut().context("it is not steered")?;
        Ok(input.write_all(format!("{command}\n").as_bytes())?)
    }

    /// What it has answered to a command so far, each time that it was sent.
    ///
    /// # Errors
    /// When its log can't be read.
    pub fn answers(&self, command: &str) -> Result<Vec<String>> {
        let said = format!("ledger: {command}: ");
        let log = self.log()?;
        // The last line may not be whole yet, and a panic that is written down in pieces may stand before an answer.
        let lines = log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        Ok(lines.filter_map(|line| line.split_once(&said)).map(|(_, answer)| answer.to_owned()).collect())
    }

    /// Asks its admin server, which it must have been started with (`--admin 127.0.0.1:0`), for a page: its status and body.
    /// One second is what an answer may take.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub fn get(&mut self, path: &str) -> Result<(u16, String)> {
        let address = self.admin_address()?;
        get(&address, path).with_context(|| format!("cannot get {path} of process {}", self.pid()))
    }

    /// Where its admin server listens.
    pub(crate) fn admin_address(&mut self) -> Result<String> {
        const LISTENS: &str = "admin server listens address=";
        if let Some(address) = &self.admin {
            return Ok(address.clone());
        }
        self.until_log(LISTENS, Duration::from_secs(10))?;
        let log = self.log()?;
        let (_, address) = log.split_once(LISTENS).context("the log has just had it")?;
        let address = address.split_whitespace().next().context("an address follows")?;
        Ok(self.admin.insert(address.to_owned()).clone())
    }

    /// The value of a metric that it shows, by its name and the part of its labels that tells it apart; 0 where it shows none.
    ///
    /// # Errors
    /// When its admin server doesn't answer in time.
    pub fn metric(&mut self, name: &str, label: &str) -> Result<f64> {
        let (_, page) = self.get("/metrics")?;
        let line = page.lines().find(|line| line.starts_with(name) && line.contains(label));
        let value = line.and_then(|line| line.rsplit(' ').next()).map_or(Ok(0.0), str::parse)?;
        Ok(value)
    }

    /// Sends a signal. It must not have ended.
    ///
    /// # Errors
    /// When it has.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("process {} has ended already ({status}); its log is {}", self.pid(), self.log.display());
        }
        // It may be the last word to it.
        if let Ok(peak) = self.peak_memory() {
            self.peak.fetch_max(peak, Ordering::Relaxed);
        }
        // Not waited for yet, so the id is still its own.
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).context("an id is above 0")?;
        kill_process(pid, signal).with_context(|| format!("cannot signal process {}", self.pid()))
    }

    /// Has it open no more files and sockets than this; `None`: as many as we may.
    ///
    /// # Errors
    /// When it has ended.
    pub fn limit_descriptors(&self, most: Option<u64>) -> Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).context("an id is above 0")?;
        let own = getrlimit(Resource::Nofile);
        prlimit(Some(pid), Resource::Nofile, Rlimit { current: most.or(own.current), maximum: own.maximum })?;
        Ok(())
    }

    /// Whether it has ended, and how.
    ///
    /// # Errors
    /// When it can't be asked.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end and gives its exit code.
    ///
    /// # Errors
    /// When it doesn't end in time, or was ended by a signal.
    pub fn wait(&mut self, deadline: Duration) -> Result<i32> {
        let (pid, log) = (self.pid(), self.log.clone());
        let status = until(deadline, &format!("the end of process {pid}, log {}", log.display()), || self.ended())?;
        status.code().with_context(|| format!("process {pid} was ended by signal {:?}", status.signal()))
    }

    /// Asks it to stop, with SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn stop(&mut self, deadline: Duration) -> Result<i32> {
        self.signal(Signal::TERM)?;
        self.wait(deadline)
    }

    /// Kills it with SIGKILL and waits for its end.
    ///
    /// # Errors
    /// When it had ended before.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        let status = self.child.wait()?;
        let killed = status.signal() == Some(Signal::KILL.as_raw());
        ensure!(killed, "process {} ended before it could be killed: {status}", self.pid());
        Ok(())
    }

    /// The CPU time that it has taken so far.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu(&self) -> Result<Cpu> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        // Its name stands in brackets, and may have anything in it.
        let (_, fields) = stat.rsplit_once(") ").context("a name in brackets")?;
        // The fields 14 and 15, counted from 1; the first behind the name is the third.
        let ticks: Vec<u64> = fields.split(' ').skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
        let time = |ticks: u64| Duration::from_millis(ticks * 1_000 / clock_ticks_per_second());
        let [user, system] = ticks.as_slice() else { bail!("no CPU time in `{stat}`") };
        Ok(Cpu { user: time(*user), system: time(*system) })
    }

    /// The most memory that it ever held, in bytes.
    ///
    /// # Errors
    /// When it has ended.
    pub fn peak_memory(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    /// The memory that it holds now, in bytes.
    ///
    /// # Errors
    /// When it has ended.
    pub fn memory(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// A size of its memory, as the system names it.
    fn status(&self, name: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let line = line.with_context(|| format!("no {name} has it ended?"))?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // It may have ended, and nobody is left to be told of a failure.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The status and the body of a page of the HTTP server at this address. A second is what an answer may take.
///
/// # Errors
/// When there is no answer in time.
pub fn get(address: &str, path: &str) -> Result<(u16, String)> {
    ask(
        address,
        Duration::from_secs(1),
        &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"),
    )
}

/// The same of something to do, with JSON, and of what may take so long.
///
/// # Errors
/// When there is no answer in time.
pub fn send(address: &str, patience: Duration, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json");
    ask(address, patience, &format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
}

fn ask(address: &str, patience: Duration, request: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, body.to_owned()))
}

/// A binary of the workspace's: it stands in `<target>/<profile>`.
///
/// # Errors
/// When it was not built.
pub fn binary(name: &str) -> Result<PathBuf> {
    let own = env::current_exe()?;
    let mut programs = own.ancestors().skip(1).take(2).map(|directory| directory.join(name));
    programs
        .find(|program| program.is_file())
        .with_context(|| format!("the binary {name} is missing: run `cargo build --workspace --bins` first"))
}

/// The program stands in `<target>/<profile>/examples`; we stand in `<target>/<profile>`, or as a test in its `deps`.
fn program(example: &str) -> Result<PathBuf> {
    let own = env::current_exe()?;
    let mut programs = own.ancestors().skip(1).take(2).map(|directory| directory.join("examples").join(example));
    programs
        .find(|program| program.is_file())
        .with_context(|| format!("the example {example} is missing: run `cargo build --examples` first"))
}
