//! What is said of the API's section.

use super::{Faults, Loaded, loaded};
use crate::api::Role;

const DAEMONS: &str = "kafka: {main: {brokers: \"localhost:9092\", group: shop}}\ndaemons: {orders: {}, ticker: {}}\n";

fn read(api: &str) -> Result<Loaded, Faults> {
    loaded(&format!("api: {api}\n{DAEMONS}"), &[], &[])
}

fn refused(api: &str) -> String {
    read(api).map(drop).expect_err("it can't work").to_string()
}

#[test]
fn api_is_not_served_unless_it_is_asked_for_and_then_on_loopback() {
    let served = |api: &str| read(api).unwrap_or_else(|faults| panic!("{faults}")).config.api;
    assert!(served("{}").is_none());
    let config = served("{enabled: true}").expect("it is served");
    assert_eq!(config.address.to_string(), "127.0.0.1:9466");
    let config =
        served("{enabled: true, address: \"0.0.0.0:80\", tokens: {ada: {role: operator, token: 0123456789abcdef}}}");
    let config = config.expect("it is served");
    assert_eq!(config.tokens.iter().map(|token| token.name()).collect::<Vec<_>>(), ["ada"]);
    assert!(Role::Operator > Role::Viewer);
    let config = served("{enabled: true, masked_fields: [card, PIN]}").expect("it is served");
    assert_eq!(config.masked, ["card", "PIN"]);
    let config = served("{enabled: true, trusted_proxies: [10.0.0.0/8, \"fd00::1\"]}").expect("it is served");
    let trusted: Vec<String> = config.proxies.iter().map(ToString::to_string).collect();
    assert_eq!(trusted, ["10.0.0.0/8", "fd00::1/128"]);
}

#[test]
fn api_that_lets_everybody_in_is_refused() {
    assert_eq!(
        refused("{enabled: true, address: \"0.0.0.0:9466\"}"),
        "shop.yaml:1:31: api.address: the API can't be served on 0.0.0.0:9466 to whoever asks: configure a token, or a loopback address"
    );
    // What is not served lets nobody in.
    assert!(read("{address: \"0.0.0.0:9466\"}").is_ok());
}

#[test]
fn tokens_that_are_no_good_are_told_and_not_shown() {
    assert_eq!(
        refused("{enabled: true, tokens: {ada: {role: viewer, token: c4n4ry}, bob: {token_file: nowhere}, eve: {role: admin}}}"),
        "\
shop.yaml:1:31: api.tokens.ada: the token of `ada` has fewer than 16 characters: make a longer one, as with `openssl rand -hex 32`
shop.yaml:1:67: api.tokens.bob.role: is missing, allowed: viewer, operator, admin
shop.yaml:1:85: api.tokens.bob.token_file: needs the file `nowhere`, which can't be read: No such file or directory (os error 2)
shop.yaml:1:95: api.tokens.eve.token: is missing: set it, or `token_file`"
    );
    let wrong = refused("{enabled: true, tokens: {ada: {role: king, token: [c4n4ry], token_file: 7}}}");
    assert!(!wrong.contains("c4n4ry") && wrong.contains("viewer"), "{wrong}");
}
