//! What fails again comes back with its count, and stops at the cap: through a process of `examples/ledger`.

use anyhow::Result;
use daemonry::dead_letters::{Filter, Redrive};
use integration::patience::until_true;
use integration::{Flags, Member, Message};

use crate::scene::{PATIENCE, Scene};

#[test]
fn a_record_that_fails_again_and_again_stops_at_the_cap() -> Result<()> {
    let scene = Scene::open("loop")?;
    let directory = tempfile::tempdir()?;
    let ledger = Flags::default()
        .with("brokers", &scene.brokers)
        .with("topic", &scene.topic)
        .with("group", &scene.topic)
        .with("ledger", directory.path().join("ledger").display())
        .with("order", "key")
        .with("workers", 2);
    let mut member = Member::start(&ledger, directory.path().join("ledger.log"))?;
    scene.topics.produce(&scene.topic, &[Message::new(r#"{"poison":true}"#).key("a").header("trace", "x")])?;
    let letters = scene.dead_letters()?;
    for redrives in 0..3 {
        until_true(PATIENCE, "the next letter", || Ok(scene.list(Filter::all())?.len() == 1))?;
        let entry = scene.list(Filter::all())?.remove(0);
        let letter = entry.letter().expect("it is one");
        assert_eq!((letter.redrives, letter.origin.topic.as_str()), (redrives, scene.topic.as_str()));
        assert_eq!(letter.record.headers[0], (b"trace".to_vec(), Some(b"x".to_vec())));
        let request = Redrive::new(format!("try-{redrives}"), Filter::all()).cap(2);
        let counts = scene.runtime.block_on(letters.redrive(request))?;
        let expected = if redrives < 2 { (1, 0) } else { (0, 1) };
        assert_eq!((counts.selected, counts.at_cap), expected, "{counts:?}");
    }
    assert_eq!(member.stop(PATIENCE)?, 0);
    let attempts = scene.topics.read(&scene.topic)?;
    assert_eq!(attempts.len(), 3, "the first one and two re-drives");
    Ok(())
}
