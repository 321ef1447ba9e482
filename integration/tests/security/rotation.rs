//! A password that is changed under a running daemon: trouble, not a mistake of its configuration.

use std::time::Duration;

use anyhow::Result;
use integration::Way;
use integration::payload::Mix;
use integration::rights::Mechanism;
use integration::secured::PASSWORD;

use crate::scene::{SOON, Scene, broker, says, until_ready, until_unready};

#[test]
fn a_rotated_password_is_waited_for() -> Result<()> {
    let mut scene = Scene::granted("rotated")?;
    scene.scenario.expect_error("SASL authentication error");
    scene.entry = scene.entry.to(broker()?.address(Way::Renewed));
    let load = scene.scenario.load(100, Mix::default());
    let mut member = scene.start()?;
    scene.scenario.until_works(&mut member, SOON)?;
    until_ready(&mut member)?;

    let user = scene.user.clone();
    broker()?.rights().set_password(&user, Mechanism::ScramSha256, "another one")?;
    let said = ["refuse user", &user, "`sasl.password`"];
    until_unready(&mut member, &said)?;
    says(&member, &said)?;
    assert!(member.ended()?.is_none());

    broker()?.rights().set_password(&user, Mechanism::ScramSha256, PASSWORD)?;
    until_ready(&mut member)?;
    scene.scenario.until_more(100, SOON)?;
    scene.scenario.unload(load)?;
    scene.scenario.pass(vec![member], Duration::from_secs(60))?;
    Ok(())
}
