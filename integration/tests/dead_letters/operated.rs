//! Letters as whoever is on call deals with them: by processes of `daemonry dlq`.

use anyhow::{Context as _, Result};
use integration::Message;
use integration::letter::letter_of;
use serde_json::Value;

use daemonry::record::{Offset, Partition};

use crate::scene::{Answer, Scene};

/// What a program gets.
fn json(answer: &Answer) -> Result<Value> {
    serde_json::from_str(&answer.out).with_context(|| format!("no JSON: {} {}", answer.out, answer.said))
}

/// How many letters have this outcome.
fn tally(answer: &Answer, outcome: &str) -> Result<u64> {
    let rows = json(answer)?;
    let of_outcome = rows.as_array().into_iter().flatten().filter(|row| row["outcome"] == outcome);
    Ok(of_outcome.filter_map(|row| row["letters"].as_u64()).sum())
}

#[test]
fn letters_are_listed_shown_redriven_and_discarded_from_the_command_line() -> Result<()> {
    let scene = Scene::open("operated")?;
    scene.write(10, 2)?;
    let zero = scene.letter(Message::new(r#"{"id":0}"#).key("ada"), "poison", "order id is zero", 1_600_000_000_000);
    let offset = scene.topics.produce_to(&scene.letters, Partition(2), &[zero])?[0].to_string();

    let listed = scene.dlq("ls", &["--output=json"])?;
    assert_eq!((listed.code, json(&listed)?.as_array().map(Vec::len)), (0, Some(11)), "{}", listed.said);
    let poison = scene.dlq("ls", &["--reason=poison", "--since=2020-09-13T12:26:40Z"])?;
    let row = poison.out.lines().nth(1).context("a row below the head")?;
    let origin = format!("{}[3]@41", scene.topic);
    let cells: Vec<&str> = row.split_whitespace().collect();
    let place = format!("2:{offset}");
    let expected =
        ["2020-09-13T12:26:40Z", &place, &origin, "poison", "4", "0", "ada", "order", "id", "is", "zero", "-"];
    assert_eq!((cells.as_slice(), poison.out.lines().count()), (&expected[..], 2));
    let first = scene.dlq("ls", &["--limit=3", "--output=ndjson"])?;
    assert_eq!((first.out.lines().count(), first.said.as_str()), (3, "the first 3, and there are more\n"));

    let nowhere = scene.dlq("ls", &["--since=2020-09-13T12:26:40Z", "--partition=99", "--output=json"])?;
    assert_eq!((nowhere.code, nowhere.out.trim()), (0, "[]"), "{}", nowhere.said);
    let counted = scene.dlq("count", &[])?;
    assert_eq!((counted.code, counted.out.lines().count()), (0, 3), "two kinds: {}", counted.out);
    assert_eq!(counted.said, "11 letters counted; 11 letters wait in all of the topic\n");

    let shown = scene.dlq("show", &["2", &offset])?;
    assert!(shown.code == 0 && shown.out.ends_with("value      JSON, 8 bytes\n{\n  \"id\": 0\n}\n"), "{}", shown.out);
    assert_eq!(scene.dlq("show", &["2", &offset, "--raw"])?.out, r#"{"id":0}"#);
    assert_eq!(json(&scene.dlq("show", &["2", &offset, "--output=json"])?)?["value"]["text"], r#"{"id":0}"#);

    // Nothing is done unless it is said, nor without somebody who means it.
    let dry = scene.dlq("redrive", &["--key=key-0", "--output=json"])?;
    assert_eq!((dry.code, tally(&dry, "would_redrive")?, tally(&dry, "not_meant")?), (0, 5, 6), "{}", dry.said);
    assert_eq!(json(&dry)?[0]["target"], scene.topic.as_str());
    assert!(dry.said.contains("`--execute`"), "{}", dry.said);
    let unasked = scene.dlq("redrive", &["--key=key-0", "--execute"])?;
    assert!(unasked.code == 4 && unasked.said.contains("nobody is here to be asked, say `--yes`"), "{}", unasked.said);
    assert_eq!(scene.written()?.count(), 0);
    assert!(!scene.topics.exists(&format!("{}.marks", scene.letters))?, "nor is anything made");

    let meant = ["--key=key-0", "--request=first", "--execute", "--yes", "--output=json"];
    let redriven = scene.dlq("redrive", &meant)?;
    assert_eq!((redriven.code, tally(&redriven, "redriven")?), (0, 5), "{}", redriven.said);
    assert_eq!(scene.written()?.count(), 5);
    let again = scene.dlq("redrive", &meant)?;
    assert_eq!((again.code, tally(&again, "redriven")?, tally(&again, "already_redriven")?), (0, 0, 5));
    let another = scene.dlq("redrive", &["--request=first", "--execute", "--yes"])?;
    assert!(another.code == 2 && another.said.contains("was begun with another selection"), "{}", another.said);
    assert_eq!(scene.written()?.count(), 5);

    let why = ["--because=a load test", "--by=bob", "--key=key-1", "--output=json"];
    assert_eq!(tally(&scene.dlq("discard", &why)?, "would_discard")?, 5);
    assert_eq!(json(&scene.dlq("ls", &["--output=json"])?)?.as_array().map(Vec::len), Some(6), "nothing was done");
    let discarded = scene.dlq("discard", &[&why[..], &["--execute", "--yes"]].concat())?;
    assert_eq!((discarded.code, tally(&discarded, "discarded")?), (0, 5), "{}", discarded.said);
    assert_eq!(json(&scene.dlq("ls", &["--output=json"])?)?.as_array().map(Vec::len), Some(1));
    let hidden = json(&scene.dlq("ls", &["--with-discarded", "--key=key-1", "--output=json"])?)?;
    assert_eq!((hidden.as_array().map(Vec::len), &hidden[0]["mark"]["kind"]), (Some(5), &"discarded".into()));
    let counted = scene.dlq("count", &["--with-redriven", "--with-discarded", "--output=json"])?;
    let kinds = json(&counted)?;
    let kind = |index: usize| (&kinds[index]["origin"], &kinds[index]["reason"], kinds[index]["letters"].as_u64());
    assert_eq!(
        (kind(0).0, kind(0).2, kind(1).1, kind(1).2),
        (&scene.topic.as_str().into(), Some(10), &"poison".into(), Some(1))
    );
    assert!(counted.said.contains("11 letters counted; 1 letter waits in all of the topic"), "{}", counted.said);
    let (partition, offset) = (hidden[0]["partition"].to_string(), hidden[0]["offset"].to_string());
    let mark = &json(&scene.dlq("show", &[&partition, &offset, "--output=json"])?)?["mark"];
    assert_eq!((&mark["by"], &mark["reason"]), (&"bob".into(), &"a load test".into()));
    Ok(())
}

#[test]
fn a_letter_is_edited_from_the_command_line_and_by_an_editor() -> Result<()> {
    let scene = Scene::open("edited")?;
    let zero = scene.letter(Message::new(r#"{"id":0}"#).key("ada").header("trace", "x"), "poison", "zero", 1_000);
    scene.topics.produce_to(&scene.letters, Partition(1), &[zero])?;
    let value = r#"--value={"id":7}"#;
    let unasked = scene.dlq("edit", &["1", "0", value])?;
    assert!(unasked.code == 4 && unasked.said.contains("-   \"id\": 0\n+   \"id\": 7\n"), "{}", unasked.said);
    assert_eq!(scene.topics.read(&scene.topic)?.len(), 0);
    for (times, expected) in [(0, 1), (1, 0)] {
        let edited = scene.dlq("edit", &["1", "0", value, "--header=trace=y", "--yes", "--output=json"])?;
        assert_eq!((edited.code, tally(&edited, "redriven")?), (0, expected), "{times} {}", edited.said);
    }
    let by_editor = scene.dlq_with(&[("VISUAL", "sed -i s/0/8/")], "edit", &["1", "0", "--editor", "--yes"])?;
    assert_eq!(by_editor.code, 0, "{}", by_editor.said);
    let unchanged = scene.dlq_with(&[("VISUAL", "true")], "edit", &["1", "0", "--editor", "--yes"])?;
    assert_eq!(unchanged.said, "that is what it is, and nothing was changed\n");
    let mut written = scene.topics.read(&scene.topic)?;
    written.sort_by(|one, other| one.message.value.cmp(&other.message.value));
    let told = |index: usize| {
        let message = &written[index].message;
        let header = |name| message.header_values(name).flatten().map(String::from_utf8_lossy).collect::<Vec<_>>();
        (
            String::from_utf8_lossy(message.value.as_deref().unwrap_or_default()),
            header("trace"),
            header("daemonry-edited-by"),
        )
    };
    assert_eq!(written.len(), 2);
    assert_eq!(told(0), (r#"{"id":7}"#.into(), vec!["y".into()], vec!["ada".into()]));
    assert_eq!(told(1), (r#"{"id":8}"#.into(), vec!["x".into()], vec!["ada".into()]));
    Ok(())
}

#[test]
fn what_cant_be_written_is_left_named_and_told_by_the_exit_code() -> Result<()> {
    let scene = Scene::open("left")?;
    scene.topics.set(&scene.topic, &[("max.message.bytes", "20000")])?;
    let small = |number: u32| scene.letter(Message::new(number.to_string()).key("a"), "error", "down", 1_000);
    let large = scene.letter(Message::new("x".repeat(30_000)).key("a"), "error", "down", 1_000);
    let gone = letter_of(Message::new("v").key("a"), "no-such-topic", "error", "down", 1_000);
    let letters = [small(0), large, small(1), gone, Message::new("foreign").key("a"), small(2)];
    scene.topics.produce_to(&scene.letters, Partition(1), &letters)?;

    let done = scene.dlq("redrive", &["--execute", "--yes", "--output=json"])?;
    assert_eq!((done.code, tally(&done, "redriven")?, tally(&done, "not_written")?), (1, 3, 2), "{}", done.said);
    assert_eq!(tally(&done, "no_letter")?, 1, "{}", done.out);
    scene.written()?.ensure_is(3, 1)?;
    let rows = json(&done)?;
    let left = |outcome: &str| {
        let row = rows.as_array().into_iter().flatten().find(|row| row["outcome"] == outcome);
        row.map(|row| row["left"].clone()).unwrap_or_default()
    };
    let (unwritten, foreign) = (left("not_written"), left("no_letter"));
    assert_eq!(
        (&unwritten[0]["offset"], &unwritten[1]["offset"], &foreign[0]["offset"]),
        (&1.into(), &3.into(), &4.into())
    );
    let why = unwritten[1]["why"].as_str();
    assert_eq!(why, Some("there is no topic `no-such-topic`: check its name, or create it"));
    assert!(
        done.said.contains("3 records were left where they are:\n  1:1 the letter at offset 1 of"),
        "{}",
        done.said
    );
    assert!(done.said.contains("\n  1:4 the record at offset 4 of partition 1 can't be re-driven: "), "{}", done.said);

    let again = ["--execute", "--yes", "--output=json", "--except=1:1", "--except=1:3", "--except=1:4"];
    scene.topics.produce_to(&scene.letters, Partition(1), &[small(3)])?;
    let done = scene.dlq("redrive", &again)?;
    assert_eq!((done.code, tally(&done, "redriven")?, tally(&done, "not_written")?), (0, 1, 0), "{}", done.said);
    scene.written()?.ensure_is(4, 1)
}

#[test]
fn what_cant_be_meant_and_what_cant_be_done_have_codes_of_their_own() -> Result<()> {
    let scene = Scene::open("refused")?;
    let refused = scene.dlq("ls", &["--reason=bad-luck"])?;
    assert!(refused.code == 2 && refused.said.contains("undecodable, poison"), "{}", refused.said);
    let refused = scene.dlq("redrive", &["--request=no name"])?;
    assert!(refused.code == 2 && refused.said.contains("can't name a request"), "{}", refused.said);
    let missing = scene.dlq("show", &["0", &Offset(7).to_string()])?;
    assert!(missing.code == 4 && missing.said.contains("there is no record at offset 7"), "{}", missing.said);
    let letters = Scene { letters: "no-such-topic.dlq".to_owned(), ..scene };
    let missing = letters.dlq("ls", &["--output=json"])?;
    let expected = "error: there is no topic `no-such-topic.dlq`: check its name, or create it\n";
    assert_eq!((missing.code, missing.said.as_str()), (4, expected));
    Ok(())
}
