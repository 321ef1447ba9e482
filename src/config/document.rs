//! A configuration under examination: what was written, what is wrong with it, and what was taken out for that.
//!
//! serde ends at the first error. Here what is wrong is taken out of the tree, and the rest is read again, until it can be read: so
//! every error is told at once. The invariant: nothing is said of a key on account of one that was taken out.

use serde::de::DeserializeOwned;

use super::deserialize::Reader;
use super::fault::{Fault, Place};
use super::key::KeyPath;
use super::problem::{Kind, Problem};
use super::secret::{is_secret, without_credentials};
use super::tree::{Content, Node, Scalar};

#[derive(Clone)]
pub(crate) struct Document {
    file: String,
    root: Node,
    faults: Vec<Fault>,
    gone: Vec<KeyPath>,
}

impl Document {
    /// `file` is its name in faults.
    pub(super) fn new(file: &str, root: Node, faults: Vec<Fault>) -> Self {
        Self { file: file.to_owned(), root, faults, gone: Vec::new() }
    }

    pub(super) fn root(&self) -> &Node {
        &self.root
    }

    pub(super) fn root_mut(&mut self) -> &mut Node {
        &mut self.root
    }

    pub(crate) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    pub(crate) fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Something is wrong that has no key.
    pub(super) fn fault_at(&mut self, place: Place, problem: String) {
        self.faults.push(Fault::new(&self.file, place, KeyPath::default(), problem));
    }

    /// Something is wrong at `path`, on account of what is there and at the paths `related` to it.
    pub(super) fn fault(&mut self, path: &KeyPath, related: &[KeyPath], problem: impl Into<String>) {
        let taken = |path: &KeyPath| self.gone.iter().any(|gone| path.is_within(gone));
        if !taken(path) && !related.iter().any(taken) {
            // Where nothing was said of it, what was said of the others is what is wrong.
            let said = std::iter::once(path).chain(related).find(|path| self.root.at(path).is_some());
            let place = self.root.place_of(said.unwrap_or(path));
            self.faults.push(Fault::new(&self.file, place, path.clone(), problem.into()));
        }
    }

    /// The key at `path` is wrong, whatever its value is.
    pub(super) fn fault_of_key(&mut self, path: &KeyPath, problem: impl Into<String>) {
        let place = self.root.place_of_key(path);
        self.faults.push(Fault::new(&self.file, place, path.clone(), problem.into()));
    }

    /// Whether something at `path` or below it was taken out.
    pub(super) fn has_gone_within(&self, path: &KeyPath) -> bool {
        self.gone.iter().any(|gone| gone.is_within(path) || path.is_within(gone))
    }

    /// The value at `path` is wrong: says what was found, and takes it out.
    pub(super) fn refuse(&mut self, path: &KeyPath, problem: impl Into<String>) {
        self.fault(path, &[], problem);
        self.take_out(path);
    }

    /// Takes out what stands at `path`, and says what had to go with it.
    fn take_out(&mut self, path: &KeyPath) -> KeyPath {
        let whole = self.root.removable(path);
        self.root.take(&whole);
        self.gone.push(whole.clone());
        whole
    }

    /// Everything at `path` as a `T`, without what is wrong; none where nothing can be made of the rest.
    pub(crate) fn read<T: DeserializeOwned>(&mut self, path: &KeyPath) -> Option<T> {
        loop {
            let nothing = Node::empty(Place::File);
            let node = self.root.at(path).unwrap_or(&nothing);
            let Problem { path: found, kind } = match T::deserialize(Reader::new(node, path.clone())) {
                Ok(value) => return Some(value),
                Err(problem) => problem.at(path),
            };
            let at = found.unwrap_or_default();
            match kind {
                Kind::Missing(key) => self.fault(&at.child(key), &[], "is missing, and has no default"),
                Kind::Unknown(_, allowed) => self.fault_of_key(&at, format!("unknown key{allowed}")),
                Kind::Wrong(allowed) => self.fault(&at, &[], format!("is {}, allowed: {allowed}", self.found(&at))),
                Kind::Shape(allowed) => self.fault(&at, &[], format!("is {}, allowed: {allowed}", self.shape(&at))),
                Kind::Said(message) => self.fault(
                    &at,
                    &[],
                    match self.shown(&at) {
                        Some(found) => format!("is {found}: {}", without_credentials(&message)),
                        None => "is not accepted, and not shown, since it may be secret".to_owned(),
                    },
                ),
            }
            let there = self.root.at(&at).is_some();
            if path.is_within(&self.take_out(&at)) || !there {
                return None;
            }
        }
    }

    /// What kind of value stands at `path`.
    fn shape(&self, path: &KeyPath) -> &'static str {
        match self.root.at(path).map(|node| &node.content) {
            None => "nothing",
            Some(Content::Map(_)) => "a section",
            Some(Content::List(_)) => "a list",
            Some(Content::Scalar(scalar)) if scalar.is_null() => "nothing",
            Some(Content::Scalar(_)) => "a single value",
        }
    }

    /// What stands at `path`, as a person may see it.
    pub(super) fn found(&self, path: &KeyPath) -> String {
        self.shown(path).unwrap_or_else(|| "not shown here, since it may be secret".to_owned())
    }

    /// The same; `None` where it may be a secret.
    fn shown(&self, path: &KeyPath) -> Option<String> {
        let Some(node) = self.root.at(path) else { return Some("nothing".to_owned()) };
        match &node.content {
            Content::Map(_) | Content::List(_) => Some(self.shape(path).to_owned()),
            Content::Scalar(scalar) if scalar.is_null() => Some("nothing".to_owned()),
            Content::Scalar(scalar) if scalar.secret || is_secret_at(path) => None,
            Content::Scalar(Scalar { text, written: Some(written), .. }) => {
                Some(format!("`{}` (from `{written}`)", without_credentials(text)))
            }
            Content::Scalar(Scalar { text, quoted: true, .. }) => Some(format!("`\"{}\"`", without_credentials(text))),
            Content::Scalar(Scalar { text, .. }) => Some(format!("`{}`", without_credentials(text))),
        }
    }

    /// The program's own section, for later reads of it.
    pub(super) fn section(&self, path: &KeyPath) -> Self {
        let mut root = Node::empty(Place::File);
        if let (Content::Map(entries), [key]) = (&mut root.content, path.keys()) {
            entries.extend(self.root.entry(key).cloned());
        }
        Self::new(&self.file, root, Vec::new())
    }
}

/// Whether what stands at `path` must not be shown, by its name: in the program's own section also by a name above it.
pub(super) fn is_secret_at(path: &KeyPath) -> bool {
    match path.keys() {
        [app, below @ ..] if app == super::APP => below.iter().any(|key| is_secret(key)),
        _ => is_secret(path.last()),
    }
}
