//! Who asks, and what they may.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use subtle::{Choice, ConstantTimeEq};

/// Bytes that a token has at least.
const SHORTEST: usize = 16;

/// What somebody may do. The later ones may all that the earlier ones may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// See what the daemons are at, without what stands in records.
    Viewer,
    /// Pause, resume, slow down and seek, see records, re-drive and discard dead letters, too.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// As it stands in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What somebody shows to be let in. Its text is never shown.
#[derive(Clone)]
pub struct Token {
    identity: Identity,
    text: Arc<str>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) name: Arc<str>,
    pub(super) role: Role,
}

impl Token {
    /// Whoever shows `text` is called so, and may do this.
    pub fn new(name: impl Into<String>, role: Role, text: impl Into<String>) -> Self {
        Self { identity: Identity { name: Arc::from(name.into()), role }, text: Arc::from(text.into()) }
    }

    /// Whose it is.
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    pub(super) fn is_short(&self) -> bool {
        self.text.len() < SHORTEST
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.identity.name).field("role", &self.identity.role).finish()
    }
}

/// Those who are let in.
#[derive(Clone, Debug)]
pub(super) enum Admitted {
    /// Whoever can reach the address.
    Everybody,
    /// Whoever has one of these.
    Holders(Arc<[Token]>),
}

impl Admitted {
    pub(super) fn holders(tokens: Vec<Token>) -> Self {
        if tokens.is_empty() { Self::Everybody } else { Self::Holders(tokens.into()) }
    }

    /// Whether nobody has to say who they are.
    pub(super) fn is_everybody(&self) -> bool {
        matches!(self, Self::Everybody)
    }

    /// Who it is that shows this; `None` where they are not let in. Takes the same time whatever is shown, but for its length.
    pub(super) fn identify(&self, shown: Option<&str>) -> Option<Identity> {
        match self {
            Self::Everybody => Some(Identity { name: Arc::from("local"), role: Role::Admin }),
            Self::Holders(tokens) => {
                let shown = shown?.as_bytes();
                // All are looked at, found or not.
                let found = tokens.iter().map(|token| token.text.as_bytes().ct_eq(shown)).enumerate();
                let found = found.fold(
                    None,
                    |found: Option<usize>, (index, is_it): (usize, Choice)| {
                        if bool::from(is_it) { Some(index) } else { found }
                    },
                );
                found.map(|index| tokens[index].identity.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered_by_what_they_may() {
        assert!(Role::ALL.is_sorted());
        assert_eq!(Role::ALL.map(Role::name), ["viewer", "operator", "admin"]);
    }

    #[test]
    fn holder_of_a_token_is_known_by_the_whole_of_it() {
        let tokens =
            vec![Token::new("ada", Role::Viewer, "a".repeat(20)), Token::new("bob", Role::Admin, "b".repeat(20))];
        let admitted = Admitted::holders(tokens);
        let who = |shown: Option<&str>| admitted.identify(shown).map(|who| (who.name.to_string(), who.role));
        assert_eq!(who(Some(&"b".repeat(20))), Some(("bob".to_owned(), Role::Admin)));
        assert_eq!(who(Some(&"a".repeat(20))), Some(("ada".to_owned(), Role::Viewer)));
        for stranger in [None, Some(""), Some("b"), Some("bbbbbbbbbbbbbbbbbbbbb"), Some("BBBBBBBBBBBBBBBBBBBB")] {
            assert_eq!(who(stranger), None);
        }
    }

    #[test]
    fn token_does_not_show_its_text() {
        assert!(!format!("{:?}", Token::new("ada", Role::Viewer, "hush")).contains("hush"));
    }
}
