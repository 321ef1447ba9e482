//! What stands in for `${…}` in a text: a variable's value, or what a file holds.
//!
//! | written | becomes |
//! |---|---|
//! | `${NAME}` | the environment variable's value; an error where there is none |
//! | `${NAME:-text}` | the same, or `text` where there is none or it is empty |
//! | `${file:PATH}` | what the file holds, without the end of its last line; never shown |
//! | `$$` | `$` |
//!
//! Nothing that was put in is looked at again. A `$` before anything else stands for itself.

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io::Read;

use super::secret::is_secret;
use super::tree::Scalar;

/// The most that a file for one value may hold.
const LARGEST: u64 = 1 << 20;

/// The environment variables as they were when the configuration was read.
#[derive(Default)]
pub(crate) struct Variables {
    readable: BTreeMap<String, String>,
    /// Those whose values are no texts.
    unreadable: Vec<String>,
}

impl Variables {
    /// Those of this process. One whose name is no text can't be meant.
    pub(crate) fn of_process() -> Self {
        let mut variables = Self::default();
        for (name, value) in env::vars_os() {
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => drop(variables.readable.insert(name, value)),
                (Ok(name), Err(_)) => variables.unreadable.push(name),
                (Err(_), _) => {}
            }
        }
        variables
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.readable.get(name).map(String::as_str)
    }

    /// Those that begin with `prefix`, by name; without a value where that is no text.
    pub(super) fn beginning<'v>(&'v self, prefix: &'v str) -> impl Iterator<Item = (&'v str, Option<&'v str>)> {
        let readable = self.readable.iter().map(|(name, value)| (name.as_str(), Some(value.as_str())));
        let unreadable = self.unreadable.iter().map(|name| (name.as_str(), None));
        readable.chain(unreadable).filter(move |(name, _)| name.starts_with(prefix))
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Variables {
    fn from(variables: [(&str, &str); N]) -> Self {
        variables.as_slice().into()
    }
}

#[cfg(test)]
impl From<&[(&str, &str)]> for Variables {
    fn from(variables: &[(&str, &str)]) -> Self {
        let readable = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { readable, unreadable: Vec::new() }
    }
}

/// Puts values into a scalar.
///
/// # Errors
/// What can't be put in, and what to do. The scalar is then as it was.
pub(super) fn substitute(scalar: &mut Scalar, variables: &Variables) -> Result<(), String> {
    if !scalar.text.contains('$') {
        return Ok(());
    }
    let (mut text, mut secret, mut replaced) = (String::new(), false, false);
    let mut rest = scalar.text.as_str();
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some(inside) = rest.strip_prefix('{') {
            let Some((expression, after)) = inside.split_once('}') else {
                return Err("has a `${` without its `}`, allowed: `${NAME}`, `${NAME:-text}`, `${file:PATH}`, `$$` for a dollar".to_owned());
            };
            let value = value(expression, variables)?;
            (secret, replaced) = (secret || value.secret, true);
            text.push_str(&value.text);
            rest = after;
        } else {
            text.push('$');
        }
    }
    text.push_str(rest);
    let written = std::mem::replace(&mut scalar.text, text);
    if replaced {
        (scalar.secret, scalar.untyped, scalar.written) = (scalar.secret || secret, true, Some(written));
    }
    Ok(())
}

struct Value {
    text: String,
    secret: bool,
}

fn value(expression: &str, variables: &Variables) -> Result<Value, String> {
    if let Some(path) = expression.strip_prefix("file:") {
        return read_secret(path).map(|text| Value { text, secret: true });
    }
    let (name, default) = match expression.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (expression, None),
    };
    let named =
        name.chars().enumerate().all(|(at, c)| c == '_' || c.is_ascii_alphabetic() || (at > 0 && c.is_ascii_digit()));
    if name.is_empty() || !named {
        return Err(
            "has a `${…}` that names no variable, allowed: `${NAME}`, `${NAME:-text}`, `${file:PATH}`, `$$` for a dollar"
                .to_owned(),
        );
    }
    let text = match (variables.get(name), default) {
        (Some(value), None) => value,
        (Some(value), Some(_)) if !value.is_empty() => value,
        (_, Some(default)) => default,
        (None, None) => {
            return Err(format!(
                "needs the environment variable `{name}`, which is not set: set it, or give a value to use instead, as in `${{{name}:-text}}`"
            ));
        }
    };
    Ok(Value { text: text.to_owned(), secret: is_secret(name) })
}

/// What a file for a secret holds, without the end of its last line.
///
/// # Errors
/// Why it can't be read.
pub(super) fn read_secret(path: &str) -> Result<String, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text));
    if let Err(error) = read {
        return Err(format!("needs the file `{path}`, which can't be read: {error}"));
    }
    if text.len() as u64 > LARGEST {
        return Err(format!("needs the file `{path}`, which is larger than 1 MiB: name a file with the value alone"));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn substituted(text: &str) -> Result<Scalar, String> {
        let variables = [("HOST", "kafka"), ("EMPTY", ""), ("NESTED", "${HOST}$$"), ("DB_PASSWORD", "hush")];
        let variables = variables.into();
        let mut scalar = Scalar { text: text.to_owned(), ..Scalar::default() };
        substitute(&mut scalar, &variables).map(|()| scalar)
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        match substituted(text) {
            Ok(scalar) => assert_eq!(scalar.text, expected),
            Err(error) => assert_eq!(error, expected),
        }
    }

    #[test]
    fn values_are_put_in() {
        check("${HOST}:9092", "kafka:9092");
        check("${HOST},${HOST}", "kafka,kafka");
        check("${NONE:-localhost:9092}", "localhost:9092");
        check("${HOST:-localhost}", "kafka");
        check("${EMPTY}", "");
        check("${EMPTY:-localhost}", "localhost");
        check("${NONE:-}", "");
    }

    #[test]
    fn dollar_stands_for_itself_and_what_is_put_in_is_not_looked_at_again() {
        check("a$b", "a$b");
        check("$$", "$");
        check("$${HOST}", "${HOST}");
        check("${NESTED}", "${HOST}$$");
        check("5$", "5$");
    }

    #[test]
    fn what_can_not_be_put_in_is_told() {
        check(
            "${NONE}",
            "needs the environment variable `NONE`, which is not set: set it, or give a value to use instead, as in `${NONE:-text}`",
        );
        check(
            "${HOST",
            "has a `${` without its `}`, allowed: `${NAME}`, `${NAME:-text}`, `${file:PATH}`, `$$` for a dollar",
        );
        for text in ["${}", "${1}", "${a b}", "${HOST-x}"] {
            check(
                text,
                "has a `${…}` that names no variable, allowed: `${NAME}`, `${NAME:-text}`, `${file:PATH}`, `$$` for a dollar",
            );
        }
        check(
            "${file:nowhere/x}",
            "needs the file `nowhere/x`, which can't be read: No such file or directory (os error 2)",
        );
    }

    #[test]
    fn values_of_files_and_of_secret_variables_are_secret() -> std::io::Result<()> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("password");
        for (held, expected) in
            [("hush\n", "hush"), ("hush\r\n", "hush"), ("hush", "hush"), (" hu\nsh\n\n", " hu\nsh\n")]
        {
            std::fs::write(&path, held)?;
            let scalar = substituted(&format!("${{file:{}}}", path.display())).expect("it is there");
            assert_eq!((scalar.text.as_str(), scalar.secret), (expected, true));
        }
        assert!(substituted("${DB_PASSWORD}").expect("it is set").secret);
        assert!(!substituted("${HOST}").expect("it is set").secret);
        Ok(())
    }
}
