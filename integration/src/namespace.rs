//! A network or a file system of a test's own, which it can break: the test runs once more, in a namespace.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, bail, ensure};

use crate::figures;

/// Set for whoever runs in there.
const INSIDE: &str = "DAEMONRY_IN_NAMESPACE";

/// As root, or as anybody who is to be root in there, where the system allows that.
const WAYS: [&[&str]; 2] = [&[], &["--map-root-user"]];

/// What a namespace has of its own.
#[derive(Clone, Copy, Debug)]
enum Own {
    Link,
    Mounts,
}

impl Own {
    fn flag(self) -> &'static str {
        match self {
            Self::Link => "--net",
            Self::Mounts => "--mount",
        }
    }

    /// What shows that it can be had, and what to install where this can't be run.
    fn trial(self) -> (Vec<String>, &'static str) {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect();
        match self {
            Self::Link => (words("ip link set lo up"), "iproute2"),
            Self::Mounts => {
                let mut trial: Vec<String> = words("mount -t tmpfs -o size=64k none");
                trial.push(env::temp_dir().to_string_lossy().into_owned());
                (trial, "mount")
            }
        }
    }
}

/// Runs the test of this name again in a namespace with a link of its own. `true` in there, where the link is up and the test goes on; `false`
/// outside, once it has passed in there.
///
/// # Errors
/// When there can be no namespace, or the test fails in it: it is not left out.
pub fn is_inside(test: &str) -> Result<bool> {
    if env::var_os(INSIDE).is_some() {
        set_link(true)?;
        return Ok(true);
    }
    run_again(Own::Link, test, &env::temp_dir())?;
    Ok(false)
}

/// The same with mounts of its own. In there the directory for what is temporary is a file system by itself: all others can be
/// [made read-only](make_read_only), and it stays.
///
/// # Errors
/// As [`is_inside`].
pub fn is_inside_with_mounts(test: &str) -> Result<bool> {
    let temporary = env::temp_dir();
    if env::var_os(INSIDE).is_some() {
        mount(&["--bind"], &temporary, &temporary)?;
        return Ok(true);
    }
    let directory = tempfile::Builder::new().prefix("daemonry-mounts-").tempdir()?;
    if let Err(error) = run_again(Own::Mounts, test, directory.path()) {
        return Err(error.context(format!("what it left is in {}", directory.keep().display())));
    }
    Ok(false)
}

fn run_again(own: Own, test: &str, temporary: &Path) -> Result<()> {
    let mut again = unshare(way(own)?, own);
    again.args(["--fork", "--kill-child", "--"]).arg(env::current_exe()?);
    again.args([test, "--exact", "--include-ignored", "--nocapture"]).env(INSIDE, "1").env("TMPDIR", temporary);
    let left = figures::leave_in(temporary, &mut again);
    let status = again.status().context("`unshare` can't be run")?;
    ensure!(status.success(), "{test} has failed in its namespace: {status}");
    figures::pass_on(left.as_deref())
}

/// The first way that works here.
fn way(own: Own) -> Result<&'static [&'static str]> {
    let (trial, package) = own.trial();
    let mut said = String::new();
    for way in WAYS {
        let tried = unshare(way, own).arg("--").args(&trial).output();
        let tried = tried.context("`unshare` can't be run: install util-linux")?;
        if tried.status.success() {
            return Ok(way);
        }
        said += String::from_utf8_lossy(&tried.stderr).trim();
        said += "; ";
    }
    bail!("{said}no namespace for this test: install {package}, and run it as root or where users may make namespaces")
}

fn unshare(way: &[&str], own: Own) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(way).arg(own.flag());
    unshare
}

/// Takes the link up, or down: whatever is sent then is lost.
///
/// # Errors
/// When it can't.
pub fn set_link(up: bool) -> Result<()> {
    let state = if up { "up" } else { "down" };
    let status = Command::new("ip").args(["link", "set", "lo", state]).status();
    let status = status.context("`ip` can't be run: install iproute2")?;
    ensure!(status.success(), "the link can't be taken {state}: {status}");
    Ok(())
}

/// Makes this directory, with a file system of so many bytes on it.
///
/// # Errors
/// When it can't.
pub fn mount_small(directory: &Path, bytes: u64) -> Result<()> {
    fs::create_dir(directory)?;
    mount(&["-t", "tmpfs", "-o", &format!("size={bytes}")], Path::new("none"), directory)
}

/// Makes all file systems read-only, but for these and the system's own. No file of them may be open for writing in here.
///
/// # Errors
/// When one can't be.
pub fn make_read_only(but: &[&Path]) -> Result<()> {
    /// What a mount is asked to be as well where it was so before: who isn't root may take none of it away.
    const KEPT: [&str; 6] = ["nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime"];
    let kept: Vec<&Path> = ["/proc", "/sys", "/dev"].into_iter().map(Path::new).chain(but.iter().copied()).collect();
    for line in fs::read_to_string("/proc/self/mounts")?.lines() {
        let mut fields = line.split(' ').skip(1).step_by(2);
        let (place, options) = fields.next().zip(fields.next()).context("a mount has a place and options")?;
        let place = place.replace(r"\040", " ");
        if kept.iter().any(|kept| Path::new(&place).starts_with(kept)) {
            continue;
        }
        let options = options.split(',').filter(|option| KEPT.contains(option));
        let options: Vec<&str> = ["remount", "bind", "ro"].into_iter().chain(options).collect();
        mount(&["-o", &options.join(",")], Path::new("none"), Path::new(&place))?;
    }
    Ok(())
}

fn mount(options: &[&str], what: &Path, place: &Path) -> Result<()> {
    let mounted = Command::new("mount").args(options).args([what, place]).output();
    let mounted = mounted.context("`mount` can't be run: install mount")?;
    let said = String::from_utf8_lossy(&mounted.stderr);
    ensure!(mounted.status.success(), "{} can't be mounted {options:?}: {}", place.display(), said.trim());
    Ok(())
}
