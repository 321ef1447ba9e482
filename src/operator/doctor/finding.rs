//! What a check has found.

use crate::api::{Finding, Severity};
use crate::operator::rows::{Cell, Column, Row, Tone};

/// The findings of one check.
#[derive(Debug)]
pub(super) struct Findings<'f> {
    check: &'static str,
    into: &'f mut Vec<Finding>,
}

impl<'f> Findings<'f> {
    pub(super) fn of(check: &'static str, into: &'f mut Vec<Finding>) -> Self {
        Self { check, into }
    }

    pub(super) fn ok(&mut self, at: impl ToString, what: impl Into<String>) {
        self.push(Severity::Ok, at, what, None);
    }

    pub(super) fn unknown(&mut self, at: impl ToString, what: impl Into<String>, to_do: impl Into<String>) {
        self.push(Severity::Unknown, at, what, Some(to_do.into()));
    }

    pub(super) fn warning(&mut self, at: impl ToString, what: impl Into<String>, to_do: impl Into<String>) {
        self.push(Severity::Warning, at, what, Some(to_do.into()));
    }

    pub(super) fn error(&mut self, at: impl ToString, what: impl Into<String>, to_do: impl Into<String>) {
        self.push(Severity::Error, at, what, Some(to_do.into()));
    }

    fn push(&mut self, severity: Severity, at: impl ToString, what: impl Into<String>, to_do: Option<String>) {
        let found = Finding::new(severity, self.check, at.to_string(), what);
        self.into.push(Finding { to_do, ..found });
    }
}

impl Row for Finding {
    const HEAD: &'static [Column] = &[
        Column::text("SEVERITY"),
        Column::text("CHECK"),
        Column::text("WHERE"),
        Column::text("WHAT"),
        Column::text("WHAT TO DO"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let tone = match self.severity {
            Severity::Ok => Tone::Good,
            Severity::Unknown => Tone::Faint,
            Severity::Warning => Tone::Warning,
            Severity::Error => Tone::Bad,
        };
        vec![
            Cell::new(self.severity.name()).tone(tone),
            Cell::new(&self.check),
            Cell::new(&self.at),
            Cell::new(&self.what),
            Cell::new(self.to_do.as_deref().unwrap_or_default()),
        ]
    }
}
