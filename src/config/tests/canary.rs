//! A secret is never shown: one value is put everywhere a secret may stand, and looked for in everything that is said.

use super::{Faults, Loaded, loaded, with_program};

const CANARY: &str = "c4n4ry";

/// Everything that is shown of a configuration, whether it can work or not.
fn said(loaded: &Result<Loaded, Faults>) -> String {
    match loaded {
        Ok(loaded) => {
            format!("{}\n{:?}\n{:?}", with_program(|program| loaded.print(program)), loaded.config, loaded.raw)
        }
        Err(faults) => format!("{faults}\n{faults:?}"),
    }
}

#[track_caller]
fn check(text: &str, variables: &[(&str, &str)], flags: &[&str]) -> Result<Loaded, Faults> {
    let loaded = loaded(text, variables, flags);
    let said = said(&loaded);
    assert!(!said.contains(CANARY), "of\n{text}\nthis was said:\n{said}");
    loaded
}

const DAEMONS: &str = "daemons: {orders: {}, ticker: {}}\n";

/// A cluster with these keys.
fn cluster(keys: &str) -> String {
    format!("kafka:\n  main:\n    brokers: localhost:9092\n    group: shop\n{keys}\n{DAEMONS}")
}

fn sasl(password: &str) -> String {
    cluster(&format!(
        "    security: sasl_plaintext\n    sasl:\n      mechanism: PLAIN\n      username: me\n      {password}"
    ))
}

/// Properties whose values are secret.
const PROPERTIES: [&str; 10] = [
    "sasl.password",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.certificate.pem",
    "ssl.keystore.password",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.jaas.config",
];

#[test]
fn secret_that_works_is_not_shown() -> std::io::Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(&file, format!("{CANARY}\n"))?;
    let path = file.path().display();
    let in_force = |password: &str, variables: &[(&str, &str)], flags: &[&str]| {
        let loaded = check(&sasl(password), variables, flags).unwrap_or_else(|faults| panic!("{faults}"));
        // That it is there at all.
        let kafka = loaded.config.kafka("main").expect("it is there");
        assert!(kafka.properties().any(|property| property == ("sasl.password", CANARY)), "{password}");
    };
    in_force(&format!("password: {CANARY}"), &[], &[]);
    in_force(&format!("password: \"${{file:{path}}}\""), &[], &[]);
    in_force(&format!("password_file: {path}"), &[], &[]);
    in_force("password: ${PASSWORD}", &[("PASSWORD", CANARY)], &[]);
    in_force("password: ${X}", &[("X", CANARY)], &[]);
    in_force("", &[("DAEMONRY__KAFKA__MAIN__SASL__PASSWORD", CANARY)], &[]);
    in_force("password: other", &[], &[&format!("kafka.main.sasl.password={CANARY}")]);
    in_force("", &[], &[&format!("kafka.main.properties.sasl.password={CANARY}")]);
    Ok(())
}

#[test]
fn secret_property_is_not_shown_whether_the_client_takes_it_or_not() -> std::io::Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(&file, CANARY)?;
    for property in PROPERTIES {
        for value in
            [CANARY.to_owned(), format!("\"{CANARY}\\0\""), format!("[{CANARY}]"), format!("{{{CANARY}: {CANARY}}}")]
        {
            drop(check(&cluster(&format!("    properties:\n      {property}: {value}")), &[], &[]));
        }
    }
    // A secret for a property that has no secret's name.
    for property in
        ["client.rack", "fetch.min.bytes", "no.such.property", "enable.auto.commit", "socket.keepalive.enable"]
    {
        for keys in [
            format!("    properties:\n      {property}: ${{file:{}}}", file.path().display()),
            format!("    properties:\n      {property}: ${{MY_SECRET}}"),
        ] {
            drop(check(&cluster(&keys), &[("MY_SECRET", CANARY)], &[]));
        }
    }
    Ok(())
}

#[test]
fn secret_is_not_shown_whatever_is_wrong_around_it() -> std::io::Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(&file, CANARY)?;
    let from_file = format!("${{file:{}}}", file.path().display());
    for password in [
        // Not YAML.
        format!("password: @{CANARY}"),
        format!("password: *{CANARY}"),
        format!("password: !{CANARY} x"),
        format!("password: \"{CANARY}"),
        format!("password: \"\\q{CANARY}\""),
        format!("password: [{CANARY}"),
        format!("password: {{{CANARY}"),
        format!("password: a: {CANARY}"),
        format!("password:\n      {CANARY}"),
        format!("password {CANARY}"),
        format!("password:{CANARY}"),
        format!("password: {CANARY}\n     bad: indentation"),
        // Not its type.
        format!("password: [{CANARY}]"),
        format!("password: {{{CANARY}: {CANARY}}}"),
        format!("password:\n        - {CANARY}"),
        // Not put in.
        format!("password: ${{{CANARY}:-"),
        format!("password: \"{CANARY}${{\""),
        format!("password: \"{CANARY}${{NONE}}\""),
        // Beside something that is wrong.
        format!("password: {CANARY}\n      pasword: {CANARY}"),
        format!("password: {CANARY}\n      password: {CANARY}"),
        format!("password: {CANARY}\n      password_file: nowhere"),
        format!("password: {CANARY}\n      mechanims: PLAIN"),
        format!("Password: {CANARY}"),
        // In another's place.
        format!("mechanism: {from_file}"),
        format!("username: [{from_file}]"),
    ] {
        let faults = check(&sasl(&password), &[], &[]).err();
        assert!(faults.is_some(), "{password}");
    }
    for keys in [
        format!("    sasl: {CANARY}"),
        format!("    sasl: [{CANARY}]"),
        format!("    tls: {CANARY}"),
        format!("    tls: {{key_password: [{CANARY}]}}"),
        format!("    tls: {{key_password: {CANARY}}}"),
        format!("    properties: {CANARY}"),
        format!("    properties: [{CANARY}]"),
        format!("    security: {from_file}"),
        format!("    session_timeout: {from_file}"),
        format!("    expected_partitions: {from_file}"),
        "    metadata_limit: ${THE_TOKEN}".to_owned(),
    ] {
        let faults = check(&cluster(&keys), &[("THE_TOKEN", CANARY)], &[]).err();
        assert!(faults.is_some(), "{keys}");
    }
    Ok(())
}

#[test]
fn secret_from_outside_of_the_file_is_not_shown_whatever_is_wrong() {
    for (name, value) in [
        ("DAEMONRY__KAFKA__MAIN__SASL__PASSWORD__X", CANARY),
        ("DAEMONRY__KAFKA__MAIN__SASL__PASWORD", CANARY),
        ("DAEMONRY__KAFKA__MIAN__SASL__PASSWORD", CANARY),
        ("DAEMONRY__KAFKA__MAIN__SASL", CANARY),
        ("DAEMONRY__KAFKA__MAIN__PROPERTIES__SASL_PASSWORD", CANARY),
        ("DAEMONRY__KAFKA__MAIN__TLS__KEY_PASSWORD", CANARY),
    ] {
        let faults = check(&sasl("password: x"), &[(name, value)], &[]).err();
        assert!(faults.is_some(), "{name}");
    }
    for flag in ["kafka.main.sasl.pasword=c4n4ry", "kafka.main.sasl=c4n4ry", "kafka.main.sasl.password.x=c4n4ry"] {
        assert!(check(&sasl("password: x"), &[], &[flag]).is_err(), "{flag}");
    }
}

#[test]
fn secret_of_the_own_section_is_not_shown() {
    let app = |keys: &str| format!("{}app: {{{keys}}}\n", cluster(""));
    for keys in
        ["api_key: c4n4ry", "api_key: \"${MY_TOKEN}\"", "currency: \"${MY_TOKEN}\"", "currency: \"a://b:c4n4ry@d\""]
    {
        assert!(check(&app(keys), &[("MY_TOKEN", CANARY)], &[]).is_ok(), "{keys}");
    }
    for keys in [
        "api_key: [c4n4ry]",
        "api_key: {c4n4ry: 1}",
        "api_key: 5, api_kye: c4n4ry",
        "prices: {my_token: c4n4ry}",
        "secrets: {a: c4n4ry}",
        "address: \"${MY_TOKEN}\"",
        "address: \"a://b:c4n4ry@d\"",
        "log: {level: \"${MY_TOKEN}\"}",
        "log: c4n4ry",
    ] {
        assert!(check(&app(keys), &[("MY_TOKEN", CANARY)], &[]).is_err(), "{keys}");
    }
}

#[test]
fn secret_that_is_no_text_is_not_shown() {
    for text in ["271828182", "-271828182", "2.71828182"] {
        for config in [
            sasl(&format!("password: {text}")),
            cluster(&format!("    security: ssl\n    tls: {{key_password: {text}}}")),
            format!("{}app: {{api_key: {text}}}\n", cluster("")),
        ] {
            let faults = loaded(&config, &[], &[]).err().expect("it is no text").to_string();
            assert!(faults.contains("text, so put it in quotes") && !faults.contains("71828182"), "{faults}");
        }
    }
}
