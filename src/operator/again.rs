//! A command line for the operator to run again: as it was said, and with what was left open filled in.

use std::env;
use std::fmt;

use crate::kafka::is_secret;

/// Shown as a shell takes it.
#[derive(Clone, Debug)]
pub(super) struct Again(Vec<Word>);

/// `name`, or `name=value`.
#[derive(Clone, Debug)]
struct Word {
    name: String,
    value: Option<String>,
}

impl Again {
    /// Begins with how this program was called, and a command of it.
    pub(super) fn new(command: &[&str]) -> Self {
        let program = env::args_os().next().map(|program| program.to_string_lossy().into_owned());
        let program = program.unwrap_or_else(|| "daemonry".to_owned());
        let words = std::iter::once(program).chain(command.iter().map(|word| (*word).to_owned()));
        Self(words.map(|name| Word { name, value: None }).collect())
    }

    /// Options of this name, one for each value.
    pub(super) fn options(&mut self, name: &str, values: impl IntoIterator<Item = impl ToString>) -> &mut Self {
        let word = |value: String| Word { name: format!("--{name}"), value: Some(value) };
        self.0.extend(values.into_iter().map(|value| word(value.to_string())));
        self
    }

    /// As [`options`](Self::options), of `KEY=VALUE` each. The value of a secret is left out: what is printed may be kept.
    pub(super) fn settings(&mut self, name: &str, settings: &[String]) -> &mut Self {
        self.options(
            name,
            settings.iter().map(|setting| match setting.split_once('=') {
                Some((key, _)) if is_secret(key) => format!("{key}=..."),
                _ => setting.clone(),
            }),
        )
    }

    pub(super) fn flag(&mut self, name: &str, is_set: bool) -> &mut Self {
        self.0.extend(is_set.then(|| Word { name: format!("--{name}"), value: None }));
        self
    }

    /// The words as the program gets them.
    #[cfg(test)]
    pub(super) fn words(&self) -> Vec<String> {
        let whole = |word: &Word| match &word.value {
            Some(value) => format!("{}={value}", word.name),
            None => word.name.clone(),
        };
        self.0.iter().map(whole).collect()
    }
}

impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Word { name, value }) in self.0.iter().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            write!(f, "{gap}{}", quoted(name))?;
            if let Some(value) = value {
                write!(f, "={}", quoted(value))?;
            }
        }
        Ok(())
    }
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,@%+=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_it_as_it_was_said() {
        let mut again = Again(Vec::new());
        again.options("error", ["it's down; rm -rf $HOME", ""]).flag("execute", true).flag("yes", false);
        assert_eq!(again.to_string(), r"--error='it'\''s down; rm -rf $HOME' --error='' --execute");
        let said = std::process::Command::new("sh").args(["-c", &format!("printf '%s|' {again}")]).output();
        let said = String::from_utf8(said.expect("there is a shell").stdout).expect("it is text");
        assert_eq!(said, "--error=it's down; rm -rf $HOME|--error=|--execute|");
        assert_eq!(again.words(), ["--error=it's down; rm -rf $HOME", "--error=", "--execute"]);
    }

    #[test]
    fn secrets_are_left_out() {
        let settings = ["sasl.password=hush", "security.protocol=ssl"].map(str::to_owned);
        let mut again = Again(Vec::new());
        again.settings("property", &settings);
        assert_eq!(again.to_string(), "--property=sasl.password=... --property=security.protocol=ssl");
    }
}
