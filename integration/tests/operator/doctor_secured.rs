//! `doctor` on brokers that speak TLS: what is wrong with certificates is told, and what to do.

use anyhow::{Context as _, Result, ensure};
use integration::{Entry, SecuredBroker, Topics, Way};

use crate::doctor::{NDJSON, found};
use crate::scene::{Said, daemonry};

/// What somebody finds who goes in this way, with this exit code.
fn ask(entry: &Entry, code: i32) -> Result<Said> {
    let directory = tempfile::tempdir()?;
    let properties = entry.write(directory.path(), "properties")?;
    let properties = properties.to_str().context("a path that is text")?;
    let arguments = ["doctor", "--brokers", entry.address(), "--properties", properties];
    daemonry(&[&arguments[..], &NDJSON].concat())?.with_code(code)
}

#[test]
fn certificates_that_can_not_be_used_are_told_with_what_to_do() -> Result<()> {
    let secured = SecuredBroker::start()?;
    Topics::connect(secured.bootstrap())?.create_fresh("operator-tls", 1)?;
    let certificates = secured.certificates();
    let certified = secured.certified("doctor")?;
    let (authority, stranger) = (certificates.authority(), certificates.stranger());
    let strange = certificates.issue_by_stranger("doctor-strange", "DNS:localhost")?;
    let strange_client = certified
        .clone()
        .with("ssl.certificate.location", strange.certificate.display())
        .with("ssl.key.location", strange.key.display());
    let without = certified.clone().without("ssl.certificate.location").without("ssl.key.location");
    let expired = certificates.issue_expired("doctor-expired", "DNS:localhost")?;
    let expired_client = certified
        .clone()
        .with("ssl.certificate.location", expired.certificate.display())
        .with("ssl.key.location", expired.key.display());

    let rows = ask(&certified, 0)?.rows()?;
    ensure!(found(&rows, "brokers", "1 of 1") == ["ok"], "{rows:?}");
    // They are made for two days.
    for of in ["of clients of Kafka", "of authorities of Kafka"] {
        ensure!(found(&rows, "certificates", of) == ["warning"], "{of}: {rows:?}");
    }
    let rows = ask(&expired_client, 1)?.rows()?;
    ensure!(found(&rows, "certificates", "has expired") == ["error"], "{rows:?}");
    for (what, entry, said) in [
        (
            "an authority that has not signed them",
            certified.clone().with("ssl.ca.location", stranger.display()),
            "can't be verified",
        ),
        (
            "a name that is not in them",
            certified.clone().to(secured.address(Way::Misnamed)),
            "name the brokers as it does",
        ),
        ("none of our own", without, "refuse our certificate, or want one"),
        ("our own of an authority that they don't know", strange_client, "refuse our certificate, or want one"),
        ("our own whose time is over", expired_client, "refuse our certificate, or want one"),
        (
            "an authority that is no file",
            certified.clone().with("ssl.ca.location", authority.with_extension("nowhere").display()),
            "ssl.ca.location",
        ),
        ("no TLS at all", Entry::new(certified.address()), "`security.protocol`"),
    ] {
        let code = if said == "ssl.ca.location" { 2 } else { 1 };
        let told = ask(&entry, code).with_context(|| what.to_owned())?;
        ensure!(format!("{}{}", told.out, told.error).contains(said), "{what}: {told:?}");
        if code == 1 {
            ensure!(found(&told.rows()?, "brokers", said) == ["error"], "{what}: {told:?}");
        }
    }
    Ok(())
}

#[test]
fn brokers_whose_certificate_has_expired_are_told() -> Result<()> {
    let secured = SecuredBroker::start_expired()?;
    let told = ask(&secured.certified("doctor")?, 1)?;
    ensure!(found(&told.rows()?, "brokers", "expired") == ["error"], "{told:?}");
    Ok(())
}
