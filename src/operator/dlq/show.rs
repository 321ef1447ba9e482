//! `dlq show`: one letter with all that is known of it.

use clap::Args;

use super::super::ReadFile;
use super::super::console::{Console, OutputArgs};
use super::super::failure::Failure;
use super::super::moment::Moment;
use super::super::work::block_on;
use super::letter::LetterView;
use super::which::{LettersArgs, PlaceArgs};
use crate::dead_letters::{Content, Mark, MarkKind, Shown};
use crate::payload::{Payload, harmless, inline};
use crate::record::{OwnedRecord, Timestamp, Topic};
use crate::shutdown::Exit;

#[derive(Debug, PartialEq, Eq, Args)]
pub(super) struct Show {
    #[command(flatten)]
    letters: LettersArgs,
    #[command(flatten)]
    place: PlaceArgs,
    /// Writes the bytes of its value, and nothing else
    #[arg(long, conflicts_with = "output")]
    raw: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl Show {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let letters = self.letters.open(read)?;
        let shown = block_on(async { Ok(letters.show(self.place.partition(), self.place.offset()).await?) })?;
        let mut console = Console::new(&self.output);
        if self.raw {
            let value = shown.entry.record().value.as_deref();
            if value.is_none() {
                console.note("the record has no value, it is a tombstone");
            }
            return console.bytes(value.unwrap_or_default());
        }
        if console.is_for_people() {
            return console.bytes(page(letters.topic(), &shown).as_bytes());
        }
        console.object(&LetterView::of(&shown.entry, shown.mark.as_ref()))?;
        Ok(Exit::Drained)
    }
}

/// The letter for people.
fn page(topic: &Topic, shown: &Shown) -> String {
    let entry = &shown.entry;
    let mut fields: Vec<(&str, Vec<String>)> = Vec::new();
    let mut field = |name, text: String| fields.push((name, text.lines().map(harmless).collect()));
    let time = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), |time| Moment(time).to_string());
    field("letter", format!("{topic} {}:{}", entry.partition, entry.offset));
    field("written", time(entry.written_at));
    match &entry.content {
        Content::Letter(letter) => {
            field("failed", time(letter.failed_at));
            let of = letter.timestamp.map(|time| format!(", of {}", Moment(time))).unwrap_or_default();
            field("origin", format!("{}@{}{of}", letter.origin, letter.offset));
            field("reason", letter.reason.name().to_owned());
            field("error", letter.error.clone());
            field("attempts", letter.attempts.to_string());
            field("re-drives", letter.redrives.to_string());
            field("daemon", letter.daemon.clone());
            field("handler", letter.handler.clone());
        }
        Content::Foreign { why, .. } => field("no letter", why.to_string()),
    }
    match (&shown.mark, entry.mark) {
        (Some(mark), _) => field("mark", told(mark)),
        (None, kind) => field("mark", kind.map_or("-", MarkKind::said).to_owned()),
    }
    let record = entry.record();
    field("key", record.key.as_deref().map_or_else(|| "-".to_owned(), inline));
    fields.push(("headers", headers(record)));
    let payload = record.value.as_deref().map(|value| (value.len(), Payload::of(value)));
    fields.push((
        "value",
        vec![match &payload {
            Some((bytes, payload)) => format!("{}, {bytes} bytes", payload.kind),
            None => "none, it is a tombstone".to_owned(),
        }],
    ));
    let mut text = String::new();
    for (name, lines) in &fields {
        // Each line of a field stands behind its name.
        let lines = if lines.is_empty() { &["-".to_owned()][..] } else { lines };
        for (index, line) in lines.iter().enumerate() {
            text += &format!("{:<9}  {line}\n", if index == 0 { name } else { "" });
        }
    }
    for line in payload.iter().flat_map(|(_, payload)| &payload.lines) {
        text += line;
        text.push('\n');
    }
    text
}

/// What became of the letter, as one sentence.
fn told(mark: &Mark) -> String {
    let mut text = mark.kind.said().to_owned();
    let parts = [
        ("by", mark.by.clone()),
        ("at", mark.at().map(|at| Moment(at).to_string())),
        ("to", mark.target.clone()),
        ("as request", mark.request.clone()),
        ("with another", Some(mark.edited.join(", ")).filter(|edited| !edited.is_empty())),
        ("because", mark.reason.clone()),
    ];
    for (what, said) in parts {
        text += &said.map(|said| format!(" {what} {said}")).unwrap_or_default();
    }
    text
}

/// The record's own headers, one a line.
pub(super) fn headers(record: &OwnedRecord) -> Vec<String> {
    let value = |value: &Option<Vec<u8>>| value.as_deref().map_or_else(|| "-".to_owned(), inline);
    record.headers.iter().map(|(name, of)| format!("{}: {}", inline(name), value(of))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letters::{DeadLetters, Edit, Filter};
    use crate::record::{Offset, Partition};
    use crate::testing::MemoryBroker;

    const LETTER: [(&str, &str); 10] = [
        ("daemonry-topic", "orders"),
        ("daemonry-partition", "0"),
        ("daemonry-offset", "41"),
        ("daemonry-timestamp", "1600000000000"),
        ("daemonry-reason", "poison"),
        ("daemonry-error", "not stored\n\x1b[2Jorder id is zero"),
        ("daemonry-attempts", "2"),
        ("daemonry-daemon", "shop"),
        ("daemonry-handler", "orders::create"),
        ("daemonry-failed-at", "1600000000001"),
    ];

    fn broker(records: impl IntoIterator<Item = OwnedRecord>) -> (MemoryBroker, DeadLetters) {
        let broker = MemoryBroker::new();
        broker.create_topic("orders", 1);
        broker.create_topic("orders.dlq", 1);
        for record in records {
            broker.produce("orders.dlq", 0, record);
        }
        let letters = DeadLetters::in_memory(&broker, "orders.dlq");
        (broker, letters)
    }

    async fn shown(letters: &DeadLetters, offset: i64) -> String {
        page(letters.topic(), &letters.show(Partition(0), Offset(offset)).await.expect("it is there"))
    }

    #[tokio::test]
    async fn a_page_has_everything_and_steers_no_terminal() {
        let record =
            OwnedRecord::new(r#"{"id":0}"#).with_key("ada").with_header("trace", "\x1bx").with_header("b", "y");
        let letter = LETTER.into_iter().fold(record, |record, (name, value)| record.with_header(name, value));
        let (_broker, letters) = broker([letter]);
        let expected = r#"letter     orders.dlq 0:0
written    -
failed     2020-09-13T12:26:40.001Z
origin     orders[0]@41, of 2020-09-13T12:26:40.000Z
reason     poison
error      not stored
           \u{1b}[2Jorder id is zero
attempts   2
re-drives  0
daemon     shop
handler    orders::create
mark       -
key        ada
headers    trace: \u{1b}x
           b: y
value      JSON, 8 bytes
{
  "id": 0
}
"#;
        assert_eq!(shown(&letters, 0).await, expected);
    }

    #[tokio::test]
    async fn a_page_says_what_became_of_the_letter() {
        let letter =
            LETTER.into_iter().fold(OwnedRecord::new("0"), |record, (name, value)| record.with_header(name, value));
        let (_broker, letters) = broker([letter.clone(), letter]);
        letters.discard(Filter::all().at(Partition(0), Offset(0)), "ada", "a load\ntest").await.expect("it works");
        let page = shown(&letters, 0).await;
        assert!(page.contains("mark       discarded by ada at 2"), "{page}");
        assert!(page.contains(" because a load\n           test\n"), "{page}");
        let edit = Edit::by("bob").value(Some(b"1".to_vec()));
        letters.redrive_edited(Partition(0), Offset(1), edit).await.expect("it works");
        let page = shown(&letters, 1).await;
        assert!(
            page.contains("mark       re-driven by bob at 2") && page.contains(" to orders as request edit-0-1-"),
            "{page}"
        );
        assert!(page.contains(" with another value\n"), "{page}");
    }

    #[tokio::test]
    async fn a_tombstone_and_a_record_that_is_no_letter_have_a_page_too() {
        let (_broker, letters) = broker([OwnedRecord { value: None, ..OwnedRecord::new("") }]);
        let page = shown(&letters, 0).await;
        assert!(page.contains("no letter  no dead letter: header `daemonry-reason` is missing\n"), "{page}");
        assert!(page.ends_with("key        -\nheaders    -\nvalue      none, it is a tombstone\n"), "{page}");
    }
}
