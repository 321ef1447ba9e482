//! Links to records, for whoever may follow them.
//!
//! The invariant: no page leads anybody to a record that they are refused, or that this process can't show: of each it would be told in the audit log
//! that they were turned away.

use maud::{Markup, html};

use super::record::address;
use crate::api::access::Role;
use crate::api::state::Api;
use crate::api::topics::Readable;

/// See the module.
pub(super) struct Links(Option<Readable>);

impl Links {
    /// Those that whoever has this role may follow now.
    pub(super) fn of(api: &Api, role: Role) -> Self {
        Self((role >= Role::Operator).then(|| Readable::now(api)))
    }

    /// This text, which leads to the record where it is to be seen.
    pub(super) fn to(&self, (topic, partition, offset): (&str, i32, i64), text: &Markup) -> Markup {
        let leads = self.0.as_ref().is_some_and(|readable| readable.has(topic));
        html! { @if leads { a href=(address(topic, partition, offset)) { (text) } } @else { (text) } }
    }
}
