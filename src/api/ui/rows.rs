//! Rows of tables that show several daemons, or several processes.

use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::page::{encoded, grouped};
use crate::api::fleet::{Member, Members};
use crate::fleet::Reported;

/// How many processes are named that leave something out.
const NAMED: usize = 5;

/// Something of a daemon of a process.
pub(super) struct Of<'a, T> {
    pub(super) member: &'a Member,
    pub(super) daemon: &'a str,
    pub(super) one: &'a T,
}

/// This part of each of these daemons, with where it is of.
pub(super) fn of_each<'a, T: 'a>(
    daemons: impl Iterator<Item = (&'a Member, &'a Reported)>,
    part: impl Fn(&'a Reported) -> &'a [T],
) -> Vec<Of<'a, T>> {
    let rows = daemons.flat_map(|(member, reported)| {
        part(reported).iter().map(move |one| Of { member, daemon: &reported.daemon.name, one })
    });
    rows.collect()
}

/// What rows have to say of where they are of.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub(super) daemons: bool,
    pub(super) processes: bool,
}

impl Origin {
    /// Of whatever daemon.
    pub(super) fn any(members: &Members) -> Self {
        Self { daemons: true, processes: members.are_several() }
    }

    /// Of one daemon.
    pub(super) fn one(members: &Members) -> Self {
        Self { daemons: false, processes: members.are_several() }
    }

    /// Of one daemon of one process.
    pub(super) const KNOWN: Self = Self { daemons: false, processes: false };

    pub(super) fn head(self) -> Markup {
        html! {
            @if self.daemons { th { "Daemon" } }
            @if self.processes { th { "Process" } }
        }
    }

    pub(super) fn cells<T>(self, of: &Of<'_, T>) -> Markup {
        self.named(of.daemon, &process(of.member))
    }

    /// The same of a daemon in these processes.
    pub(super) fn named(self, daemon: &str, processes: &str) -> Markup {
        html! {
            @if self.daemons { td { a href={ "/daemons/" (encoded(daemon)) } { (daemon) } } }
            @if self.processes { td { (processes) } }
        }
    }
}

/// A process's name, for people.
pub(super) fn process(member: &Member) -> String {
    member.report.instance.called()
}

/// Which of these processes leave something out of what they tell, and where all of it is seen. `of` says how many of a daemon's a process tells of, and how
/// many it leaves out.
pub(super) fn left_out<'a>(
    daemons: impl Iterator<Item = (&'a Member, &'a Reported)>,
    what: &str,
    of: impl Fn(&Reported) -> (usize, usize),
) -> Markup {
    let short: Vec<_> = daemons
        .map(|(member, reported)| (member, reported, of(reported)))
        .filter(|(.., (_, left_out))| *left_out > 0)
        .collect();
    let all: usize = short.iter().map(|(.., (_, left_out))| left_out).sum();
    html! {
        @if !short.is_empty() { p.notice {
            b { (grouped(all as u64)) " more " (what) } " are not told of: "
            @for (index, (member, reported, (told, left_out))) in short.iter().take(NAMED).enumerate() {
                @if index > 0 { ", " }
                a href={ "/fleet/" (encoded(&member.report.instance.id)) } { (process(member)) }
                " tells of " (told) " of " (grouped((told + left_out) as u64)) " of " (reported.daemon.name)
            }
            @if short.len() > NAMED { ", and " (short.len() - NAMED) " more processes leave some out" }
            ". The worst stand first. Each shows all of its own at its own address, and by " code { "ps DAEMON --api URL" } "."
        } }
    }
}

/// Rows with this text in them alone, from the address.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct TextFilter {
    #[serde(default)]
    text: String,
}

impl TextFilter {
    /// Whether one of these has it in it.
    pub(super) fn meets<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> bool {
        let text = self.text.to_lowercase();
        texts.into_iter().any(|one| one.to_lowercase().contains(&text))
    }

    /// The same as a part of an address.
    pub(super) fn query(&self) -> String {
        serde_urlencoded::to_string(self).unwrap_or_default()
    }

    /// Asks for one.
    pub(super) fn form(&self, what: &str) -> Markup {
        html! {
            form.steer method="get" aria-label={ "Which " (what) } {
                label { "With this text" input name="text" value=(self.text); }
                button { "Filter" }
                @if !self.text.is_empty() { a href="?" { "all" } }
            }
        }
    }
}
