//! What a program reads of a configuration and says on its outputs: answers on standard output, what is wrong on standard error.

use std::io::{self, Write};
use std::path::Path;

use crate::config::{Fault, Faults, KeyPath, Place};
use crate::shutdown::Exit;

/// What a configuration file holds.
pub(crate) fn read(file: &Path) -> Result<String, Faults> {
    std::fs::read_to_string(file).map_err(|error| {
        let problem = format!("can't be read: {error}");
        Faults::new(vec![Fault::new(&file.display().to_string(), Place::File, KeyPath::default(), problem)])
    })
}

pub(super) fn answer(text: &str) -> Exit {
    say(&mut io::stdout(), text);
    Exit::Drained
}

pub(super) fn refuse(text: &str) -> Exit {
    say(&mut io::stderr(), text);
    Exit::Misconfigured
}

pub(super) fn say(to: &mut impl Write, text: &str) {
    // Whoever doesn't listen any more needs no error.
    to.write_all(text.as_bytes()).and_then(|()| to.flush()).ok();
}
