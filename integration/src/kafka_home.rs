//! Apache Kafka's jars and a Java to run them, for machines without a Docker engine.
//!
//! Maven resolves `integration/kafka/pom.xml` once into a cache outside the repository. The directory's name is a digest
//! of the pom, and it appears by a rename: one that exists is whole, whoever else builds it at the same time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, io};

use anyhow::{Context as _, Result, bail, ensure};

const POM: &str = include_str!("../kafka/pom.xml");

/// Debian's packages of a Java that runs Kafka: a release has the one or the other.
const JAVA_PACKAGES: &[&str] = &["openjdk-17-jre-headless", "openjdk-21-jre-headless"];

/// The jars of a Kafka broker and the Java that runs them.
#[derive(Clone, Debug)]
pub struct KafkaHome {
    libs: PathBuf,
    java: PathBuf,
}

impl KafkaHome {
    /// Finds Java and the jars. What is missing is installed where that is possible: the jars by Maven, Java and
    /// Maven by `apt-get` when this is root on Debian. The first call takes seconds to minutes, the later ones nothing.
    ///
    /// # Errors
    /// When something is missing and can't be installed; the message says what to install.
    pub fn locate() -> Result<Self> {
        let java = tool("java", "JAVA_HOME", JAVA_PACKAGES)?;
        let home = cache_dir()?.join(format!("kafka-{:016x}", digest(POM)));
        if !home.is_dir() {
            let maven = tool("mvn", "MAVEN_HOME", &["maven"])?;
            copy_jars(&maven, &home)?;
        }
        Ok(Self { libs: home, java })
    }

    /// A command that starts the Java class `class` with all of Kafka in its class path.
    pub fn class(&self, class: &str, jvm_flags: &[String]) -> Command {
        let mut command = Command::new(&self.java);
        command.args(jvm_flags).arg("-cp").arg(self.libs.join("*")).arg(class).stdin(Stdio::null());
        command
    }
}

/// `$DAEMONRY_CACHE`, or the user's cache directory for this project.
fn cache_dir() -> Result<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("DAEMONRY_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("daemonry")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/daemonry")))
        .context("no place to keep Kafka's jars: set DAEMONRY_CACHE to a directory")
}

/// Lets Maven copy the jars beside `home`, then moves them there in one step.
fn copy_jars(maven: &Path, home: &Path) -> Result<()> {
    let cache = home.parent().expect("the home is a directory inside the cache");
    fs::create_dir_all(cache).with_context(|| format!("cannot create {}: set DAEMONRY_CACHE", cache.display()))?;
    eprintln!("Maven fetches Kafka's jars, this once, into {}", home.display());
    let building = tempfile::Builder::new().prefix("kafka-building-").tempdir_in(cache)?;
    fs::write(building.path().join("pom.xml"), POM)?;
    let output = Command::new(maven)
        .args(["-B", "-q", "-Dstyle.color=never", "-f"])
        .arg(building.path().join("pom.xml"))
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", building.path().join("libs").display()))
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", maven.display()))?;
    ensure!(
        output.status.success(),
        "Maven could not copy Kafka's jars ({}); with a broker at hand, set KAFKA_BROKERS instead:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    match fs::rename(building.path().join("libs"), home) {
        Ok(()) => Ok(()),
        // Somebody else was quicker, with the same jars.
        Err(_) if home.is_dir() => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot move Kafka's jars to {}", home.display())),
    }
}

/// The program `name`, from `$home_variable/bin` or the search path, else installed as the first of the Debian
/// `packages` that can be.
fn tool(name: &str, home_variable: &str, packages: &[&str]) -> Result<PathBuf> {
    if let Some(path) = find(name, home_variable) {
        return Ok(path);
    }
    let missing = format!(
        "`{name}` is missing: install {} (a broker on this machine needs Java 17 or later, and Maven once), or set \
         KAFKA_BROKERS",
        packages[0],
    );
    if !rustix::process::geteuid().is_root() || find("apt-get", "").is_none() {
        bail!(missing);
    }
    eprintln!("Kafka needs `{name}`, which is missing: apt-get installs it");
    apt_get(&["update", "-q"]).with_context(|| missing.clone())?;
    let mut failure = None;
    for package in packages {
        match apt_get(&["install", "-q", "-y", "--no-install-recommends", package]) {
            Ok(()) => return find(name, home_variable).context(missing),
            // The first package is the likeliest one, and its failure the one that tells most.
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(failure.context("there are packages")?).context(missing)
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let output = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .context("cannot run apt-get")?;
    ensure!(
        output.status.success(),
        "`apt-get {}` failed ({}):\n{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr),
    );
    Ok(())
}

/// Looks for an executable without running it.
fn find(name: &str, home_variable: &str) -> Option<PathBuf> {
    let home = env::var_os(home_variable).filter(|home| !home.is_empty()).map(|home| Path::new(&home).join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    home.into_iter()
        .chain(env::split_paths(&path))
        .map(|directory| directory.join(name))
        .find(|candidate| is_executable(candidate).unwrap_or(false))
}

fn is_executable(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = fs::metadata(path)?;
    Ok(metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// FNV-1a: the same in every process and with every compiler, which is all that a directory's name needs.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
