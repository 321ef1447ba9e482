//! A network of a test's own, whose only link it can take down: the test runs once more, in a namespace.

use std::env;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Set for whoever runs in there.
const INSIDE: &str = "DAEMONRY_IN_NAMESPACE";

/// Runs the test of this name again in a namespace. `true` in there, where the link is up and the test goes on; `false` outside, once it has
/// passed in there.
///
/// # Errors
/// When there can be no namespace, or the test fails in it.
pub fn is_inside(test: &str) -> Result<bool> {
    if env::var_os(INSIDE).is_some() {
        set_link(true)?;
        return Ok(true);
    }
    // As its own root, so that it takes no rights but that to make one.
    let mut again = Command::new("unshare");
    again.args(["--map-root-user", "--net", "--fork", "--kill-child", "--"]).arg(env::current_exe()?);
    again.args([test, "--exact", "--nocapture"]).env(INSIDE, "1");
    let status = again.status().context("`unshare` can't be run: install util-linux")?;
    ensure!(status.success(), "{test} in a namespace: {status}; it needs a system that allows namespaces to users");
    Ok(false)
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
