//! The operator's own editor, on the bytes of a value.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use super::super::failure::Failure;
use super::super::work::block_on;
use tokio::signal::unix::{SignalKind, signal};

/// A file that goes with its owner.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory for what is temporary is cleaned by others, too.
        fs::remove_file(&self.0).ok();
    }
}

/// Has the bytes edited, and answers what is made of them.
pub(super) fn edit(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let editor = ["VISUAL", "EDITOR"].into_iter().filter_map(|name| env::var(name).ok()).find(|name| !name.is_empty());
    let editor =
        editor.ok_or_else(|| Failure::usage("no editor is known: set VISUAL or EDITOR, or use `--value-file`"))?;
    edit_with(&editor, bytes)
}

fn edit_with(editor: &str, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let failed = |what: &str, error: &dyn std::fmt::Display| Failure::new(format!("{what}, nothing was done: {error}"));
    let path = env::temp_dir().join(format!("daemonry-{}-{:016x}", std::process::id(), fastrand::u64(..)));
    // Nobody else's to read, nor to have been there before.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let mut file = file.map_err(|error| failed("no file can be made for the value", &error))?;
    let scratch = Scratch(path);
    file.write_all(bytes).map_err(|error| failed("the value can't be written for the editor", &error))?;
    drop(file);
    let status = run(editor, &scratch)?;
    if !status.success() {
        return Err(failed("the editor has failed", &status));
    }
    let mut edited = fs::read(&scratch.0).map_err(|error| failed("what the editor left can't be read", &error))?;
    // Most end a text's last line, whether it had an end or not.
    if edited.last() == Some(&b'\n') && bytes.last() != Some(&b'\n') {
        edited.pop();
    }
    Ok(edited)
}

/// An editor is a command line, as in `code --wait`.
fn run(editor: &str, scratch: &Scratch) -> Result<ExitStatus, Failure> {
    block_on(async {
        // Ctrl-C is the editor's. From here on it ends this process no more: that is its caller's then.
        let _theirs = signal(SignalKind::interrupt());
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{editor} \"$1\"")).arg(editor).arg(&scratch.0);
        command.status().map_err(|error| Failure::new(format!("no editor can be started, nothing was done: {error}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_editors_text_is_taken_without_an_end_of_line_that_was_not_there() {
        let edited = |editor: &str, bytes: &[u8]| edit_with(editor, bytes).expect("it works");
        assert_eq!(edited("true", b"a\xff"), b"a\xff");
        assert_eq!(edited("sed -i s/0/7/", b"{\"id\":0}"), b"{\"id\":7}");
        assert_eq!(edited("echo >>", b"a"), b"a");
        assert_eq!(edited("echo >>", b"a\n"), b"a\n\n");
    }

    #[test]
    fn an_editor_that_fails_changes_nothing_and_leaves_no_file() {
        let Err(Failure::Failed(said)) = edit_with("sh -c 'rm \"$0\"; exit 3'", b"a") else { panic!("it fails") };
        assert_eq!(said, "the editor has failed, nothing was done: exit status: 3");
    }
}
