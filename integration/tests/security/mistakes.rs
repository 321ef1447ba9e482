//! What goes wrong on the way in. Where it can only be a mistake the process ends with code 2 after a few tries; where it may be a
//! broker that comes and goes it waits. Either way it says what to do.

use anyhow::Result;
use integration::rights::Mechanism;
use integration::secured::{PASSWORD, PLAIN_USER};
use integration::{Entry, Way};

use crate::scene::{Scene, broker, side_by_side};

#[test]
fn what_can_only_be_a_mistake_is_refused() -> Result<()> {
    side_by_side(&[
        ("a wrong password is refused", &a_wrong_password_is_refused),
        ("a wrong password of sasl plain is refused", &a_wrong_password_of_sasl_plain_is_refused),
        ("an unknown user is refused", &an_unknown_user_is_refused),
        (
            "a mechanism that the brokers dont take is refused with theirs",
            &a_mechanism_that_the_brokers_dont_take_is_refused_with_theirs,
        ),
        ("brokers of an unknown authority are refused", &brokers_of_an_unknown_authority_are_refused),
        (
            "brokers of an authority that is not given are refused",
            &brokers_of_an_authority_that_is_not_given_are_refused,
        ),
        ("an authority that is no file is refused", &an_authority_that_is_no_file_is_refused),
        (
            "brokers by another name than their certificates are refused",
            &brokers_by_another_name_than_their_certificates_are_refused,
        ),
        ("a missing certificate is refused", &a_missing_certificate_is_refused),
    ])
}

#[test]
fn what_may_be_a_passing_broker_is_waited_for() -> Result<()> {
    side_by_side(&[
        ("a plain client on a port with tls is told so", &a_plain_client_on_a_port_with_tls_is_told_so),
        ("a client with tls on a plain port is told so", &a_client_with_tls_on_a_plain_port_is_told_so),
        ("a client without sasl on a port with it is told so", &a_client_without_sasl_on_a_port_with_it_is_told_so),
    ])
}

/// A scene whose user comes in by a certificate.
fn certified(name: &str) -> Result<Scene> {
    let mut scene = Scene::open(name)?;
    let user = scene.user.clone();
    scene.come_in(&user, broker()?.certified(&user)?);
    Ok(scene)
}

fn a_wrong_password_is_refused() -> Result<()> {
    let mut scene = Scene::granted("wrong-password")?;
    let user = scene.user.clone();
    scene.entry = broker()?.sasl(Mechanism::ScramSha256.name(), &user, "wrong");
    scene.refused(&["refuse user", &user, "`sasl.password`"])
}

fn a_wrong_password_of_sasl_plain_is_refused() -> Result<()> {
    let mut scene = Scene::open("wrong-plain")?;
    scene.come_in(PLAIN_USER, broker()?.sasl("PLAIN", PLAIN_USER, "wrong"));
    scene.refused(&["refuse user", PLAIN_USER, "`sasl.password`"])
}

fn an_unknown_user_is_refused() -> Result<()> {
    let mut scene = Scene::open("unknown-user")?;
    scene.come_in("nobody", broker()?.sasl(Mechanism::ScramSha256.name(), "nobody", PASSWORD));
    scene.refused(&["refuse user `nobody`", "`sasl.username`"])
}

fn a_mechanism_that_the_brokers_dont_take_is_refused_with_theirs() -> Result<()> {
    let mut scene = Scene::open("mechanism")?;
    scene.entry = broker()?.sasl("PLAIN", PLAIN_USER, PASSWORD).to(broker()?.address(Way::Renewed));
    scene.refused(&["`PLAIN`", "but SCRAM-SHA-256:", "`sasl.mechanism`"])
}

fn brokers_of_an_unknown_authority_are_refused() -> Result<()> {
    let mut scene = certified("stranger")?;
    scene.entry = scene.entry.with("ssl.ca.location", broker()?.certificates().stranger().display());
    scene.refused(&["can't be verified", "`ssl.ca.location`"])
}

fn brokers_of_an_authority_that_is_not_given_are_refused() -> Result<()> {
    let mut scene = certified("no-authority")?;
    scene.entry = scene.entry.without("ssl.ca.location");
    scene.refused(&["can't be verified", "`ssl.ca.location`"])
}

fn an_authority_that_is_no_file_is_refused() -> Result<()> {
    let mut scene = certified("no-file")?;
    scene.entry = scene.entry.with("ssl.ca.location", "nowhere.pem");
    scene.refused(&["refuses its configuration", "ssl.ca.location"])
}

fn brokers_by_another_name_than_their_certificates_are_refused() -> Result<()> {
    let mut scene = certified("misnamed")?;
    scene.entry = scene.entry.to(broker()?.address(Way::Misnamed));
    scene.refused(&["can't be verified", "name the brokers as it does"])
}

fn a_missing_certificate_is_refused() -> Result<()> {
    let mut scene = certified("no-certificate")?;
    scene.entry = scene.entry.without("ssl.certificate.location").without("ssl.key.location");
    scene.refused(&["refuse our certificate, or want one", "`ssl.certificate.location`"])
}

fn a_plain_client_on_a_port_with_tls_is_told_so() -> Result<()> {
    let mut scene = Scene::open("plain-to-tls")?;
    scene.entry = Entry::new(broker()?.address(Way::Sasl));
    scene.waits(&["hangs up", "set `security.protocol` to `ssl` or `sasl_ssl`"])
}

fn a_client_with_tls_on_a_plain_port_is_told_so() -> Result<()> {
    let mut scene = certified("tls-to-plain")?;
    scene.entry = scene.entry.to(broker()?.bootstrap());
    scene.waits(&["does not answer in TLS", "`security.protocol`"])
}

fn a_client_without_sasl_on_a_port_with_it_is_told_so() -> Result<()> {
    let mut scene = certified("no-sasl")?;
    scene.entry = scene.entry.to(broker()?.address(Way::Sasl));
    scene.waits(&["hangs up on the first question", "`sasl_ssl`"])
}
