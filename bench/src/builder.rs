//! Builds the programs that are no part of the workspace, each at the versions that its lock file pins.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Where sources are, and where programs are put.
#[derive(Clone, Debug)]
pub struct Builder {
    sources: PathBuf,
    target: PathBuf,
}

impl Builder {
    /// Builds into this directory.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn new(target: &Path) -> Result<Self> {
        fs::create_dir_all(target).with_context(|| format!("cannot make {}", target.display()))?;
        Ok(Self { sources: PathBuf::from(env!("CARGO_MANIFEST_DIR")), target: target.to_owned() })
    }

    /// One of `bench/go`.
    ///
    /// # Errors
    /// When it can't be built.
    pub fn go(&self, name: &str) -> Result<PathBuf> {
        let program = self.target.join("go").join(name);
        let mut command = Command::new("go");
        command.args(["build", "-o"]).arg(&program).arg(format!("./{name}")).current_dir(self.sources.join("go"));
        self.build(name, command)?;
        Ok(program)
    }

    /// `bench/ruststream`.
    ///
    /// # Errors
    /// When it can't be built.
    pub fn ruststream(&self) -> Result<PathBuf> {
        let target = self.target.join("ruststream");
        let mut command = Command::new("cargo");
        command.args(["build", "--locked", "--release", "--target-dir"]).arg(&target);
        command.current_dir(self.sources.join("ruststream"));
        self.build("ruststream", command)?;
        Ok(target.join("release/ruststream-peer"))
    }

    fn build(&self, name: &str, mut command: Command) -> Result<()> {
        let log = self.target.join(format!("build.{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let tool = command.get_program().to_string_lossy().into_owned();
        eprintln!("bench: building {name}");
        let status = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => bail!("{tool} can't build it, see {}", log.display()),
            Err(_) => bail!("{tool} is missing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_is_missing_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let builder = Builder::new(directory.path()).unwrap();
        let error = builder.build("peer", Command::new("no-such-tool")).unwrap_err();
        assert_eq!(error.to_string(), "no-such-tool is missing");
        let error = builder.build("peer", Command::new("false")).unwrap_err();
        assert!(error.to_string().starts_with("false can't build it, see "), "{error}");
    }
}
