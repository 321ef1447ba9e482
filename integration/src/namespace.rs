//! A network of a test's own, whose only link it can take down: the test runs once more, in a namespace.

use std::env;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

/// Set for whoever runs in there.
const INSIDE: &str = "DAEMONRY_IN_NAMESPACE";

/// How a namespace can be made: as root, or by anybody as its own root, where the system allows that.
const WAYS: [&[&str]; 2] = [&["--net"], &["--map-root-user", "--net"]];

/// Runs the test of this name again in a namespace. `true` in there, where the link is up and the test goes on; `false` outside, once it has
/// passed in there.
///
/// # Errors
/// When there can be no namespace, or the test fails in it: it is not left out.
pub fn is_inside(test: &str) -> Result<bool> {
    if env::var_os(INSIDE).is_some() {
        set_link(true)?;
        return Ok(true);
    }
    let mut again = unshare(way()?);
    again.args(["--fork", "--kill-child", "--"]).arg(env::current_exe()?);
    again.args([test, "--exact", "--nocapture"]).env(INSIDE, "1");
    let status = again.status().context("`unshare` can't be run")?;
    ensure!(status.success(), "{test} has failed in its namespace: {status}");
    Ok(false)
}

/// The first way that works here.
fn way() -> Result<&'static [&'static str]> {
    let mut said = String::new();
    for way in WAYS {
        let tried = unshare(way).args(["--", "ip", "link", "set", "lo", "up"]).output();
        let tried = tried.context("`unshare` can't be run: install util-linux")?;
        if tried.status.success() {
            return Ok(way);
        }
        said += String::from_utf8_lossy(&tried.stderr).trim();
        said += "; ";
    }
    bail!(
        "{said}no link of its own for this test: install iproute2, and run it as root or where users may make namespaces"
    )
}

fn unshare(way: &[&str]) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(way);
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
