//! Patterns that stand for topics by their names.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

use crate::record::Topic;

/// What a group's own topics begin with; they are never meant by a pattern.
const INTERNAL: &str = "__";

/// A regular expression for the names of topics. It has to match the whole name, so it needs no `^` and no `$`, and a dot that is meant as
/// one is written `\.`. Topics that begin with `__` are Kafka's own, and are matched by no pattern. Cloning is cheap.
///
/// The syntax is that of the [`regex`](https://docs.rs/regex/latest/regex/#syntax) crate, for ASCII; it means the same whatever the
/// group's protocol, since no broker and no client library is asked to match.
///
/// ```
/// use daemonry::handler::TopicPattern;
///
/// # fn main() -> Result<(), daemonry::handler::PatternError> {
/// let pattern = TopicPattern::new(r"orders\.(eu|us)")?;
/// assert!(pattern.matches(&"orders.eu".into()));
/// assert!(!pattern.matches(&"orders.eu.old".into()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TopicPattern(Arc<Inner>);

struct Inner {
    /// As it was written, with the prefixes of the routers that it was nested in.
    text: String,
    /// What those prefixes are: they are no pattern.
    prefix: String,
    rest: Regex,
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("pattern `{pattern}` is no regular expression, {problem}: correct it, as in `orders\\..+`")]
pub struct PatternError {
    /// The text.
    pub pattern: String,
    /// What is wrong with it.
    pub problem: String,
}

impl TopicPattern {
    /// The pattern of this text.
    ///
    /// # Errors
    /// Where that is no regular expression: says why.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        // By itself first, or `a)(b` would be one. In verbose mode a comment at its end would take the bracket with it.
        let compiled = compile(text)
            .and_then(|_| compile(&format!("^(?:{text})$")).or_else(|_| compile(&format!("^(?:{text}\n)$"))));
        match compiled {
            Ok(rest) => Ok(Self(Arc::new(Inner { text: text.to_owned(), prefix: String::new(), rest }))),
            Err(error) => Err(PatternError { pattern: text.to_owned(), problem: problem(&error) }),
        }
    }

    /// The text that it was made of.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whether a topic's name is one that is meant.
    pub fn matches(&self, topic: &Topic) -> bool {
        let name = topic.as_str();
        let rest = name.strip_prefix(&self.0.prefix).filter(|_| !name.starts_with(INTERNAL));
        rest.is_some_and(|rest| self.0.rest.is_match(rest.as_bytes()))
    }

    /// The same for topics whose names have this before what it matches.
    pub(super) fn below(&self, prefix: &str) -> Self {
        let Inner { text, prefix: inner, rest } = &*self.0;
        let text = if text.contains('|') { format!("(?:{text})") } else { text.trim_start_matches('^').to_owned() };
        let text = format!("{}{text}", regex::escape(prefix));
        Self(Arc::new(Inner { text, prefix: format!("{prefix}{inner}"), rest: rest.clone() }))
    }
}

fn compile(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).unicode(false).build()
}

/// What is wrong, in a line: the parser draws a picture around it.
fn problem(error: &regex::Error) -> String {
    let said = error.to_string();
    match error {
        regex::Error::Syntax(_) => said.rsplit("error: ").next().unwrap_or(&said).trim().to_owned(),
        _ => said,
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl PartialEq for TopicPattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for TopicPattern {}

impl PartialOrd for TopicPattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TopicPattern {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> TopicPattern {
        TopicPattern::new(text).unwrap_or_else(|error| panic!("{error}"))
    }

    #[track_caller]
    fn check(pattern: &TopicPattern, matching: &[&str], others: &[&str]) {
        let matches = |name: &&&str| pattern.matches(&Topic::from(**name));
        assert_eq!(matching.iter().find(|name| !matches(name)), None, "{pattern} should match it");
        assert_eq!(others.iter().find(matches), None, "{pattern} should not match it");
    }

    #[test]
    fn pattern_matches_whole_names() {
        check(&pattern(r"orders\..+"), &["orders.eu", "orders.eu.old"], &["orders.", "ordersxeu", "my.orders.eu"]);
        check(&pattern("a|b"), &["a", "b"], &["ab", "a1", "1b"]);
        check(&pattern("^a$"), &["a"], &["ba", "ab"]);
        check(&pattern("(?i)Orders"), &["ORDERS", "orders"], &["order"]);
        check(&pattern(r"\d+-\w+"), &["12-a_b"], &["-a"]);
        check(&pattern("(?x) a b  # with a word about it"), &["ab"], &["a b"]);
    }

    #[test]
    fn topics_of_kafka_itself_are_matched_by_none() {
        check(&pattern(".*"), &["orders", "_orders"], &["__consumer_offsets"]);
        check(&pattern("__.*"), &[], &["__consumer_offsets"]);
        check(&pattern(".*").below("_"), &["_orders"], &["__consumer_offsets"]);
    }

    #[test]
    fn prefix_is_no_pattern() {
        let nested = pattern("a|b").below("x.").below("eu+");
        check(&nested, &["eu+x.a", "eu+x.b"], &["euux.a", "eu+xxa", "b", "eu+x.c"]);
        assert_eq!(nested.as_str(), r"eu\+(?:x\.(?:a|b))");
        let anchored = pattern(r"^orders\..+").below("eu.");
        check(&anchored, &["eu.orders.a"], &["orders.a"]);
        assert_eq!(anchored.as_str(), r"eu\.orders\..+");
        check(&pattern(anchored.as_str()), &["eu.orders.a"], &["orders.a"]);
    }

    #[test]
    fn what_is_no_pattern_is_told_in_a_line() {
        let told = |text: &str| TopicPattern::new(text).map_or_else(|error| error.to_string(), |_| "ok".to_owned());
        assert_eq!(
            told(r"orders\.("),
            r"pattern `orders\.(` is no regular expression, unclosed group: correct it, as in `orders\..+`"
        );
        assert!(told("a)(b").contains("unopened group"), "{}", told("a)(b"));
        assert!(told("*.orders").contains("repetition operator missing expression"), "{}", told("*.orders"));
        assert!(told("(?:a{1000}){1000}").contains("exceeds size limit"), "{}", told("(?:a{1000}){1000}"));
        assert!(!told(r"\p{Greek}").contains('\n'));
    }
}
