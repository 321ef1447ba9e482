//! What fuzzing has found so far, and what it began with, on every run of the tests: `fuzz/corpus/`, a folder for each target.

#[path = "../fuzz/inputs.rs"]
mod inputs;

use std::fs;
use std::io;
use std::path::Path;

/// Runs all that is there for this target, and says which it was where one fails.
fn replay(target: &str, run: fn(&[u8])) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for file in fs::read_dir(&folder)? {
        let file = file?.path();
        // Shown where it fails.
        eprintln!("{}", file.display());
        run(&fs::read(file)?);
        count += 1;
    }
    assert!(count > 0, "{} has nothing in it", folder.display());
    Ok(())
}

#[test]
fn commit_metadata() -> io::Result<()> {
    replay("metadata", inputs::metadata)
}

#[test]
fn headers() -> io::Result<()> {
    replay("headers", inputs::headers)
}

#[test]
fn dead_letters() -> io::Result<()> {
    replay("letter", inputs::letter)
}

#[test]
fn configurations() -> io::Result<()> {
    replay("config", inputs::config)
}
