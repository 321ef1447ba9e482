//! What is wrong with a configuration, as a person is told.

use std::fmt;

use super::key::KeyPath;

/// Where a value came from. In the order in which faults are told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The file as a whole.
    File,
    /// A line and a column of the file, both from 1.
    At(usize, usize),
    /// An environment variable.
    Variable(String),
    /// A `--set` on the command line.
    Flag,
}

/// One thing that is wrong with a configuration: where, at which key, what was found, and what is allowed. Never shows a secret.
///
/// As text it is one line:
///
/// ```text
/// config/shop.yaml:12:14: daemons.orders.workers: is `many`, allowed: a whole number, 0 or more
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    order: Place,
    place: String,
    key: KeyPath,
    problem: String,
}

impl Fault {
    pub(crate) fn new(file: &str, place: Place, key: KeyPath, problem: String) -> Self {
        let text = match &place {
            Place::File => file.to_owned(),
            Place::At(line, column) => format!("{file}:{line}:{column}"),
            Place::Variable(name) => name.clone(),
            Place::Flag => "--set".to_owned(),
        };
        Self { order: place, place: text, key, problem }
    }

    /// Where: `file:line:column`, the file alone, an environment variable's name, or `--set`.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The key, with dots between the names, as in `daemons.orders.workers`; empty where no key is meant.
    pub fn key(&self) -> String {
        self.key.to_string()
    }

    /// What was found, and what is allowed.
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.keys().is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)
    }
}

/// Everything that is wrong with a configuration, at least one [`Fault`]; as text a line each, in the order of the file.
///
/// ```
/// use daemonry::app::App;
///
/// let faults = App::new("shop").check_text("shop.yaml", "amdin: {}\nlog: {format: xml}\n").unwrap_err();
/// assert_eq!(faults.to_string(), "\
/// shop.yaml:1:1: amdin: unknown key, did you mean `admin`? allowed: admin, api, daemons, fleet, kafka, log, restart, stop
/// shop.yaml:2:15: log.format: is `xml`, allowed: human, json");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// In the order of the file; the same thing is told once.
    pub(crate) fn new(mut faults: Vec<Fault>) -> Self {
        faults.sort_by(|a, b| (&a.order, &a.key, &a.problem).cmp(&(&b.order, &b.key, &b.problem)));
        faults.dedup();
        Self(faults)
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Faults {
    /// The same text, below what stands before it: a test's `expect` shows it to people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{self}")
    }
}

impl std::error::Error for Faults {}

/// What is allowed instead of an unknown name: the nearest one, and all of them.
pub(crate) fn instead(unknown: &str, allowed: &[&str]) -> String {
    /// Below this two names have little in common.
    const ALIKE: f64 = 0.6;
    let likeness = |name: &&&str| strsim::normalized_damerau_levenshtein(&unknown.to_lowercase(), &name.to_lowercase());
    let near = allowed.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let near = near.filter(|name| likeness(name) >= ALIKE);
    let near = near.map_or_else(String::new, |name| format!(", did you mean `{name}`?"));
    match allowed {
        [] => format!("{near}, none is allowed here"),
        _ => format!("{near}{} allowed: {}", if near.is_empty() { "," } else { "" }, allowed.join(", ")),
    }
}
