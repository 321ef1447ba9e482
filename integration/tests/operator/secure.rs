//! The API over TLS, asked by the command line.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use integration::certificates::{Certificate, Certificates};
use integration::patience::until;

use crate::process::Process;
use crate::scene::{PATIENCE, Scene, daemonry};

/// Asks what the daemons are at, and trusts this authority, or those that browsers do.
fn ask(process: &Process, authority: Option<&Path>) -> Result<crate::scene::Said> {
    let api = process.api.replace("http://", "https://");
    let authority = authority.map(|path| path.display().to_string());
    let trusted = authority.iter().flat_map(|path| ["--ca-file", path.as_str()]).collect::<Vec<_>>();
    daemonry(&[&["ps", "--api", api.as_str(), "-o", "ndjson"], &trusted[..]].concat())
}

#[test]
fn the_api_is_served_over_tls_alone_and_its_certificate_is_read_anew() -> Result<()> {
    let (scene, directory) = (Scene::open("secure-api")?, tempfile::tempdir()?);
    scene.topics.create("orders.created", 4, &[]).ok();
    let certificates = Certificates::make(directory.path())?;
    let [first, second] =
        [1, 2].map(|number| certificates.issue(&format!("api-{number}"), "DNS:localhost,IP:127.0.0.1"));
    let shown = Certificate { certificate: directory.path().join("tls.crt"), key: directory.path().join("tls.key") };
    let show = |from: &Certificate| -> Result<()> {
        fs::copy(&from.key, &shown.key)?;
        fs::copy(&from.certificate, &shown.certificate)?;
        Ok(())
    };
    show(&first?)?;
    let keys = [
        format!("api.tls.certificate={}", shown.certificate.display()),
        format!("api.tls.key={}", shown.key.display()),
    ];
    let mut process = Process::start_with(&scene, 0, directory.path(), &keys)?;

    // Somebody who connects and says nothing, and one who speaks no TLS, hold up nobody.
    let address = process.api.trim_start_matches("http://").to_owned();
    let _silent = TcpStream::connect(&address)?;
    let mut plain = TcpStream::connect(&address)?;
    plain.write_all(b"GET /api/v1/daemons HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).ok();
    ensure!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));
    let rows = ask(&process, Some(&certificates.authority()))?.with_code(0)?.rows()?;
    ensure!(rows.len() == 1 && rows[0]["name"] == "orders", "{rows:?}");
    for stranger in [None, Some(certificates.stranger())] {
        let said = ask(&process, stranger.as_deref())?;
        ensure!(said.code == Some(4) && said.error.contains("--ca-file"), "{said:?}");
    }

    // What can't be used leaves the one before in place; what can is shown.
    let stranger = certificates.issue_by_stranger("stranger-api", "DNS:localhost,IP:127.0.0.1")?;
    fs::copy(&stranger.certificate, &shown.certificate)?;
    process.member.until_log("the one before is shown", PATIENCE)?;
    ask(&process, Some(&certificates.authority()))?.with_code(0)?;
    show(&stranger)?;
    until(PATIENCE, "the other authority's certificate is shown", || {
        Ok((ask(&process, Some(&certificates.stranger()))?.code == Some(0)).then_some(()))
    })?;
    ensure!(ask(&process, Some(&certificates.authority()))?.code == Some(4), "the first one is shown still");
    show(&second?)?;
    until(PATIENCE, "the renewed certificate is shown", || {
        Ok((ask(&process, Some(&certificates.authority()))?.code == Some(0)).then_some(()))
    })?;

    let code = process.member.stop(PATIENCE)?;
    ensure!(code == 0, "{}", process.member.log()?);
    // Without its files it does not start, and says which is missing.
    fs::remove_file(&shown.key)?;
    let failed = Process::start_with(&scene, 1, directory.path(), &keys).err().context("it has no key")?;
    let log = fs::read_to_string(directory.path().join("1.log"))?;
    ensure!(log.contains("tls.key can't be read"), "{failed:#}: {log}");
    Ok(())
}
