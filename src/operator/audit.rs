//! `audit`: who has done what in the processes of a program, was turned away, and has seen records.

use clap::Args;

use super::ReadFile;
use super::agent::ApiArgs;
use super::console::{Console, OutputArgs};
use super::failure::Failure;
use super::moment::Moment;
use super::rows::{Cell, Column, Row, Tone};
use crate::api::{AuditShown, Role};
use crate::fleet::Deed;
use crate::record::Timestamp;
use crate::shutdown::Exit;

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Audit {
    /// No more than so many, the latest
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Audit {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let mut console = Console::new(&self.output);
        let limit = self.limit.map_or(String::new(), |limit| format!("?limit={}", limit.max(1)));
        let AuditShown { trouble, entries, .. } = self.api.agent(read)?.get(&format!("/api/v1/audit{limit}"))?;
        let shown = entries.iter().take(self.limit.unwrap_or(usize::MAX));
        console.answer(shown, "nobody has changed anything")?;
        if let Some(trouble) = trouble {
            console.note(&format!("what was done in other processes may be missing: {trouble}"));
        }
        Ok(Exit::Drained)
    }
}

impl Row for Deed {
    const HEAD: &'static [Column] = &[
        Column::text("WHEN"),
        Column::text("WHO"),
        Column::text("ROLE"),
        Column::text("FROM"),
        Column::text("PROCESS"),
        Column::number("STATUS"),
        Column::number("COUNT"),
        Column::text("WHAT"),
        Column::text("DETAIL"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let Self { instance, entry } = self;
        let when = i64::try_from(entry.latest()).ok().and_then(Timestamp::from_millis);
        let tone = if entry.status >= 400 || entry.is_open { Tone::Warning } else { Tone::Plain };
        vec![
            Cell::of(when.map(|when| Moment(when).in_seconds())),
            Cell::new(entry.who()),
            Cell::of(entry.role.map(Role::name)),
            Cell::new(&entry.from),
            Cell::new(format!("{}/{}", instance.host, instance.pid)),
            if entry.is_open { Cell::new("not known") } else { Cell::from(entry.status) }.tone(tone),
            Cell::from(entry.count),
            Cell::new(format!("{} {}", entry.method, entry.path)),
            Cell::of(entry.detail.as_ref()),
        ]
    }
}
