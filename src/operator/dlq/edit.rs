//! `dlq edit`: writes the changed record of one letter.

use std::fs;
use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::super::ReadFile;
use super::super::console::{ConsentArgs, Console, OutputArgs};
use super::super::failure::Failure;
use super::super::work::block_on;
use super::change::{ByArgs, Verb};
use super::diff::diff;
use super::editor;
use super::show::headers;
use super::tally;
use super::which::{LettersArgs, PlaceArgs};
use crate::dead_letters::{self, Content, DeadLetter, LettersError};
use crate::payload::{Payload, harmless};
use crate::record::OwnedRecord;
use crate::shutdown::{Exit, Shutdown};

#[derive(Debug, PartialEq, Eq, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true)
    .args(["value", "value_file", "editor", "tombstone", "header", "remove_header"]))]
#[command(group = ArgGroup::new("new_value").args(["value", "value_file", "editor", "tombstone"]))]
pub(super) struct Edit {
    #[command(flatten)]
    letters: LettersArgs,
    #[command(flatten)]
    place: PlaceArgs,
    /// With this value
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    value: Option<String>,
    /// With the bytes of this file as its value
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,
    /// With what VISUAL or EDITOR makes of its value
    #[arg(long)]
    editor: bool,
    /// Without a value
    #[arg(long)]
    tombstone: bool,
    /// With this header, instead of those of its name; can be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// Without the headers of this name; can be repeated
    #[arg(long, value_name = "NAME")]
    remove_header: Vec<String>,
    #[command(flatten)]
    by: ByArgs,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    output: OutputArgs,
}

fn header(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("allowed: NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Edit {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let letters = self.letters.open(read)?;
        let by = self.by.who()?;
        let mut console = Console::new(&self.output);
        let (partition, offset) = (self.place.partition(), self.place.offset());
        let shown = block_on(async { Ok(letters.show(partition, offset).await?) })?;
        let letter = match shown.entry.content {
            Content::Letter(letter) => letter,
            Content::Foreign { why, .. } => return Err(LettersError::NotALetter { partition, offset, why }.into()),
        };
        let DeadLetter { record: before, origin, .. } = *letter;
        let after = self.changed(&before)?;
        let changes = changes(&before, &after);
        if changes.is_empty() {
            console.note("that is what it is, and nothing was changed");
            return Ok(Exit::Drained);
        }
        changes.iter().for_each(|line| console.note(line));
        let question = format!("this writes the record so to `{}`", harmless(origin.topic.as_str()));
        // Behind an editor nothing else ends the question.
        let shutdown = Shutdown::new();
        if self.editor {
            shutdown
                .listen_to_signals()
                .map_err(|error| Failure::new(format!("signals can't be listened to: {error}")))?;
        }
        console.consent(&self.consent, &question, "yes")?;
        if shutdown.is_requested() {
            return Err(Failure::new("stopped, nothing was done"));
        }
        let edit = edit(&before, after, by);
        let done = block_on(async { Ok(letters.redrive_edited(partition, offset, edit).await) })?;
        let counts = done.map_err(|interrupted| Failure::from(interrupted.error))?;
        console.answer(&tally::done(Verb::Redrive, &counts, &[]), "")?;
        if counts.selected == 0 {
            console.note("this very change was written before, and not a second time");
        }
        Ok(Exit::Drained)
    }

    /// The record as it is to be.
    fn changed(&self, before: &OwnedRecord) -> Result<OwnedRecord, Failure> {
        let mut after = before.clone();
        if let Some(value) = &self.value {
            after.value = Some(value.clone().into_bytes());
        } else if let Some(path) = &self.value_file {
            let bytes = fs::read(path)
                .map_err(|error| Failure::usage(format!("`{}` can't be read: {error}", path.display())))?;
            after.value = Some(bytes);
        } else if self.editor {
            // Where there was no value, and none is written, there is none still.
            let edited = editor::edit(before.value.as_deref().unwrap_or_default())?;
            after.value = before.value.as_ref().map_or_else(|| !edited.is_empty(), |_| true).then_some(edited);
        } else if self.tombstone {
            after.value = None;
        }
        let set = self.header.iter().map(|(name, _)| name);
        for name in self.remove_header.iter().chain(set) {
            after.headers.retain(|(found, _)| found != name.as_bytes());
        }
        after
            .headers
            .extend(self.header.iter().map(|(name, value)| (name.as_bytes().into(), Some(value.as_bytes().into()))));
        Ok(after)
    }
}

/// What is different, for people.
fn changes(before: &OwnedRecord, after: &OwnedRecord) -> Vec<String> {
    let named = |record: &OwnedRecord| headers(record).iter().map(|line| format!("header {line}")).collect::<Vec<_>>();
    let mut lines = Vec::new();
    if before.headers != after.headers {
        lines.extend(diff(&named(before), &named(after)));
    }
    if before.value != after.value {
        let laid_out = |record: &OwnedRecord| record.value.as_deref().map(Payload::of);
        let (old, new) = (laid_out(before), laid_out(after));
        let kind = |payload: &Option<Payload>| payload.as_ref().map_or("none", |payload| payload.kind);
        let told = |record: &OwnedRecord, payload: &Option<Payload>| {
            format!("value {}, {} bytes", kind(payload), record.value.as_ref().map_or(0, Vec::len))
        };
        lines.extend([format!("- {}", told(before, &old)), format!("+ {}", told(after, &new))]);
        let of = |payload: Option<Payload>| payload.map(|payload| payload.lines).unwrap_or_default();
        let was_json = kind(&old) == "JSON" && kind(&new) != "JSON" && new.is_some();
        lines.extend(diff(&of(old), &of(new)));
        lines.extend(was_json.then(|| "it was JSON, and is none any more".to_owned()));
    }
    lines
}

fn edit(before: &OwnedRecord, after: OwnedRecord, by: String) -> dead_letters::Edit {
    let edit = dead_letters::Edit::by(by);
    let edit = if before.value == after.value { edit } else { edit.value(after.value) };
    if before.headers == after.headers { edit } else { edit.headers(after.headers) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        edit: Edit,
    }

    fn line(arguments: &[&str]) -> Result<Edit, String> {
        let always = ["edit", "--brokers=b:1", "--topic=orders.dlq", "0", "17"];
        Line::try_parse_from(always.iter().chain(arguments)).map(|line| line.edit).map_err(|error| error.to_string())
    }

    fn record() -> OwnedRecord {
        OwnedRecord::new(r#"{"id":0,"by":"ada"}"#)
            .with_header("trace", "x")
            .with_header("b", "y")
            .with_header("trace", "z")
    }

    fn changed(arguments: &[&str]) -> OwnedRecord {
        line(arguments).expect("it is well formed").changed(&record()).expect("it can be read")
    }

    #[test]
    fn something_must_be_changed_and_a_value_in_one_way() {
        assert!(line(&[]).expect_err("nothing is changed").contains("--value <TEXT>"));
        assert!(line(&["--value=a", "--tombstone"]).expect_err("two values").contains("cannot be used with"));
        assert!(line(&["--header=trace"]).expect_err("no value").contains("allowed: NAME=VALUE"));
        assert!(line(&["--value", "-1", "--header=a=b", "--header=c="]).is_ok());
    }

    #[test]
    fn a_header_takes_the_place_of_those_of_its_name() {
        let after = changed(&["--header=trace=new=1", "--remove-header=b"]);
        assert_eq!(after.headers, [(b"trace".to_vec(), Some(b"new=1".to_vec()))]);
        assert_eq!(after.value, record().value);
        let lines = changes(&record(), &after);
        assert_eq!(lines, ["- header trace: x", "- header b: y", "- header trace: z", "+ header trace: new=1"]);
    }

    #[test]
    fn a_value_is_shown_as_it_was_and_as_it_is() {
        let lines = changes(&record(), &changed(&[r#"--value={"id":7,"by":"ada"}"#]));
        assert_eq!(
            lines,
            [
                "- value JSON, 19 bytes",
                "+ value JSON, 19 bytes",
                "  {",
                "-   \"id\": 0,",
                "+   \"id\": 7,",
                "    \"by\": \"ada\"",
                "  }"
            ]
        );
        let lines = changes(&record(), &changed(&["--value=\x1b{"]));
        assert_eq!(lines.last().map(String::as_str), Some("it was JSON, and is none any more"));
        assert!(!lines.concat().contains('\x1b'), "{lines:?}");
        let blanks = changes(&record(), &changed(&[r#"--value={"id":0, "by":"ada"}"#]));
        assert_eq!(blanks, ["- value JSON, 19 bytes", "+ value JSON, 20 bytes"]);
        assert!(changes(&record(), &changed(&["--tombstone"])).contains(&"+ value none, 0 bytes".to_owned()));
        assert_eq!(changes(&record(), &record()), Vec::<String>::new());
    }

    #[test]
    fn a_value_can_be_a_files() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&[0xff, b'\n']).expect("it can be written");
        let path = file.path().display();
        assert_eq!(changed(&[&format!("--value-file={path}")]).value, Some(vec![0xff, b'\n']));
        let missing = line(&["--value-file=nowhere"]).expect("it is well formed").changed(&record());
        assert!(matches!(missing, Err(Failure::Usage(_))));
    }
}
