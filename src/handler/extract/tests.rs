use super::super::Handler;
use super::*;
use crate::record::{OwnedRecord, TopicPartition};

fn delivery(record: OwnedRecord) -> Delivery {
    Delivery::new(record.into_record(TopicPartition::new("orders", 3), 41), 2)
}

/// What `T` is, drawn from a record.
fn drawn<T: FromRecord<()>>(record: OwnedRecord) -> Result<T, String> {
    T::from_record(&delivery(record), &()).map_err(|rejection| rejection.to_string())
}

fn tombstone() -> OwnedRecord {
    OwnedRecord { value: None, ..OwnedRecord::default() }
}

#[test]
fn json_is_decoded_or_says_where_it_is_wrong_without_its_contents() {
    assert_eq!(drawn(OwnedRecord::new("[1,2]")), Ok(Json(vec![1, 2])));
    let wrong = drawn::<Json<u32>>(OwnedRecord::new(r#""canary""#)).expect_err("not a number");
    assert!(wrong.contains("line 1 column 8") && !wrong.contains("canary"), "{wrong}");
    assert!(drawn::<Json<u32>>(OwnedRecord::new("")).is_err());
    assert_eq!(drawn::<Json<u32>>(tombstone()), Err("expected JSON, found a tombstone".to_owned()));
}

#[test]
fn json_that_is_not_utf_8_says_where() {
    let value = [b"[1, \"gr", &[0xfc][..], b"n\"]"].concat();
    let wrong = drawn::<Json<serde_json::Value>>(OwnedRecord::new(value)).expect_err("Latin-1");
    assert!(wrong.contains("byte 7 of it is not UTF-8"), "{wrong}");
}

#[test]
fn a_tombstone_is_none_for_whoever_asks_for_it() {
    assert_eq!(drawn::<Option<Json<u32>>>(tombstone()), Ok(None));
    assert_eq!(drawn::<Option<Json<u32>>>(OwnedRecord::new("7")), Ok(Some(Json(7))));
    assert!(drawn::<Option<Json<u32>>>(OwnedRecord::new("x")).is_err(), "what is there must be right");
    assert_eq!(drawn(tombstone()), Ok(Text(String::new())));
    assert_eq!(drawn(tombstone()), Ok(Bytes(SharedBytes::new())));
}

#[test]
fn text_must_be_utf_8_and_bytes_need_not_be() {
    assert_eq!(drawn(OwnedRecord::new("grün")), Ok(Text("grün".to_owned())));
    assert!(drawn::<Text>(OwnedRecord::new(vec![0xff])).is_err());
    assert_eq!(drawn(OwnedRecord::new(vec![0xff])), Ok(Bytes(SharedBytes::from_static(b"\xff"))));
}

#[test]
fn a_missing_key_is_not_an_empty_one() {
    assert_eq!(drawn(OwnedRecord::new("")), Ok(Key(None)));
    assert_eq!(drawn(OwnedRecord::new("").with_key("")), Ok(Key(Some(Vec::new()))));
}

#[derive(Debug, PartialEq)]
struct Tenant(u32);

impl NamedHeader for Tenant {
    const NAME: &'static str = "tenant";

    fn parse(value: &[u8]) -> Result<Self, Rejection> {
        let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        number.map(Self).ok_or_else(|| Rejection::new("not a number"))
    }
}

#[test]
fn the_last_header_of_a_name_counts() {
    let record =
        || OwnedRecord::new("").with_header("tenant", "1").with_header("other", "x").with_header("tenant", "2");
    assert_eq!(drawn(record()), Ok(Header(Tenant(2))));
    let headers: Headers = drawn(record()).expect("always there");
    assert_eq!((headers.0.len(), headers.get("tenant"), headers.get("none")), (3, Some(&b"2"[..]), None));
}

#[test]
fn a_header_that_is_missing_or_wrong_is_named() {
    assert_eq!(drawn::<Header<Tenant>>(OwnedRecord::new("")), Err("header `tenant` is missing".to_owned()));
    assert_eq!(drawn::<Option<Header<Tenant>>>(OwnedRecord::new("")), Ok(None));
    let wrong = || OwnedRecord::new("").with_header("tenant", "acme");
    assert_eq!(drawn::<Option<Header<Tenant>>>(wrong()), Err("header `tenant`: not a number".to_owned()));
    let left_to_the_handler = drawn::<Result<Header<Tenant>, Rejection>>(wrong()).expect("never poison");
    assert_eq!(left_to_the_handler, Err(Rejection::new("header `tenant`: not a number")));
}

#[test]
fn a_record_is_placed() {
    let record = || OwnedRecord { timestamp: Timestamp::from_millis(7), ..OwnedRecord::new("") };
    assert_eq!(drawn::<Topic>(record()), Ok("orders".into()));
    assert_eq!(drawn::<Partition>(record()), Ok(Partition(3)));
    assert_eq!(drawn::<Offset>(record()), Ok(Offset(41)));
    assert_eq!(drawn::<Option<Timestamp>>(record()), Ok(Timestamp::from_millis(7)));
    assert_eq!(drawn::<Attempt>(record()), Ok(Attempt(2)));
    assert_eq!(drawn::<Record>(record()).map(|record| record.offset()), Ok(Offset(41)));
    assert_eq!(drawn::<Delivery>(record()).map(|delivery| delivery.attempt()), Ok(2));
}

#[derive(Clone)]
struct AppState {
    name: &'static str,
}

impl FromRef<AppState> for usize {
    fn from_ref(app: &AppState) -> Self {
        app.name.len()
    }
}

#[test]
fn state_is_the_whole_or_a_part_of_it() {
    let (state, delivery) = (AppState { name: "shop" }, delivery(OwnedRecord::new("")));
    let State(app): State<AppState> = State::from_record(&delivery, &state).expect("always there");
    let State(length): State<usize> = State::from_record(&delivery, &state).expect("always there");
    assert_eq!((app.name, length), ("shop", 4));
}

#[test]
fn the_first_argument_that_fails_is_told_and_the_handler_is_not_called() {
    async fn never(_: Text, _: Json<u32>, _: Header<Tenant>) {
        unreachable!("an argument is missing")
    }
    let called = Handler::call(&never, &delivery(OwnedRecord::new("x")), &());
    let rejection = called.err().expect("it is poison");
    assert!(rejection.to_string().contains("not the JSON"), "{rejection}");
}
