//! What commands that steer ask a program for.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread;

use serde_json::{Value, json};

use super::*;
use crate::api::shown::Effect;
use crate::operator::run_with;

/// What is asked of an API while this command runs, path and body each, and how the command ends. Each is answered with the next of `answers`.
fn asked(arguments: &[&str], answers: &[Value]) -> (Vec<(String, Value)>, Exit) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let answers: Vec<String> = answers.iter().map(Value::to_string).collect();
    let api = thread::spawn(move || {
        let mut heard = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut read = BufReader::new(stream.try_clone().expect("another handle"));
            let (mut first, mut length) = (String::new(), 0);
            read.read_line(&mut first).expect("a request");
            let Some(path) = first.split(' ').nth(1).filter(|path| *path != "/end") else { break };
            loop {
                let mut line = String::new();
                read.read_line(&mut line).expect("a header");
                let line = line.trim().to_ascii_lowercase();
                if line.is_empty() {
                    break;
                }
                length =
                    line.strip_prefix("content-length: ").map_or(length, |number| number.parse().expect("a length"));
            }
            let mut body = vec![0; length];
            read.read_exact(&mut body).expect("a body");
            heard.push((path.to_owned(), serde_json::from_slice(&body).expect("JSON")));
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json";
            write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{answer}", answer.len()).expect("it is heard");
        }
        heard
    });
    let exit = run_with(["daemonry"].iter().chain(arguments).copied().chain(["--reason", "why", "--api", &url]));
    // Whatever was not asked for never is.
    if let Ok(mut stream) = std::net::TcpStream::connect(url.trim_start_matches("http://")) {
        stream.write_all(b"GET /end HTTP/1.1\r\n\r\n").ok();
    }
    (api.join().expect("it has not panicked"), exit)
}

/// How a daemon is steered, as an API says it.
fn steered() -> Value {
    json!({
        "paused": [], "limits": {"rate": null, "key_rate": null}, "workers": null, "until": null,
        "reached": [{"instance": "one", "obeys": true}], "trouble": null,
    })
}

#[test]
fn rates_and_places_are_read() {
    let read = |text| rate(text).ok().map(|limit| limit.map(|limit| (limit.attempts, limit.interval)));
    assert_eq!(read("100/s"), Some(Some((100, 1_000))));
    assert_eq!(read("20/1min"), Some(Some((20, 60_000))));
    assert_eq!(read("off"), Some(None));
    for wrong in ["", "100", "0/s", "x/s", "100/", "100/0s", "-1/s"] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
    let to = |text| destination(text).ok();
    assert_eq!(
        [to("end"), to("42"), to("@1700000000000")],
        [Some(Destination::End), Some(Destination::Offset(42)), Some(Destination::Time(1_700_000_000_000))]
    );
    assert_eq!(to("2023-11-14T22:13:20Z"), Some(Destination::Time(1_700_000_000_000)));
    assert_eq!([to("middle"), to("@"), to("")], [None, None, None]);
}

#[test]
fn partitions_that_are_named_are_meant_alone_and_what_is_no_number_is_no_topic() {
    for command in ["pause", "resume"] {
        let answers = [steered(), steered()];
        let (heard, exit) = asked(&[command, "orders", "created:0,3"], &answers);
        let places: Vec<_> = heard.iter().map(|(_, body)| json!([body["topic"], body["partition"]])).collect();
        assert_eq!((places, exit), (vec![json!(["created", 0]), json!(["created", 3])], Exit::Drained));
        assert!(heard.iter().all(|(path, _)| path.ends_with(&format!("/orders/{command}"))), "{heard:?}");
        for wrong in ["created:", "created:x", "created:-1", "created:0,", "created:0,x", "created:0-3", ":1"] {
            let (heard, exit) = asked(&[command, "orders", wrong], &answers);
            assert_eq!((heard, exit), (Vec::new(), Exit::Misconfigured), "{command} {wrong}");
        }
    }
    let (heard, _) = asked(&["pause", "orders", "created"], &[steered()]);
    assert_eq!((&heard[0].1["topic"], &heard[0].1["partition"]), (&json!("created"), &Value::Null));
    for wrong in ["created", "created:", "created:x", "created:0,1"] {
        let (heard, exit) = asked(&["seek", "orders", wrong, "end", "--yes"], &[steered()]);
        assert_eq!((heard, exit), (Vec::new(), Exit::Misconfigured), "{wrong}");
    }
}

#[test]
fn how_many_records_a_seek_is_about_is_to_be_typed_where_that_is_known() {
    let stake = |records, effect| StakeShown { records, effect };
    let known = about(Some(&stake(Some(7), Some(Effect::Again))));
    assert_eq!(known, ("7 records at most are handled again".to_owned(), "7".to_owned()));
    for (unknown, said) in [(Some(stake(None, None)), "is not known"), (None, "of an older version: `lag` tells it")] {
        let (about, word) = about(unknown.as_ref());
        assert!(about.ends_with(said) && word == "seek", "{about}, {word}");
    }
}

#[test]
fn a_limit_that_is_not_named_is_left_as_it_is() {
    let sent = |arguments: &[&str]| {
        let (heard, exit) = asked(&[&["rate", "orders"][..], arguments].concat(), &[steered()]);
        (heard.into_iter().next().map(|(_, body)| body), exit)
    };
    let limit = |attempts: u32| json!({"attempts": attempts, "interval": 1_000});
    for (arguments, expected) in [
        (&["50/s"][..], json!({"rate": limit(50), "reason": "why", "lasts": null})),
        (&["--key", "5/s"], json!({"key_rate": limit(5), "reason": "why", "lasts": null})),
        (&["50/s", "--key", "off"], json!({"rate": limit(50), "key_rate": null, "reason": "why", "lasts": null})),
        (&["off"], json!({"rate": null, "reason": "why", "lasts": null})),
    ] {
        assert_eq!(sent(arguments), (Some(expected), Exit::Drained), "{arguments:?}");
    }
    assert_eq!(sent(&[]), (None, Exit::Misconfigured));
}

#[test]
fn what_does_not_hold_in_all_processes_that_are_heard_of_is_told_by_the_exit_code() {
    let reached =
        |obey: [bool; 2]| json!([{"instance": "one", "obeys": obey[0]}, {"instance": "two", "obeys": obey[1]}]);
    let answer = |reached: Value, trouble: Value| {
        let mut answer = steered();
        (answer["reached"], answer["trouble"]) = (reached, trouble);
        answer
    };
    let alone = "it holds in this process alone, until its end: no broker answers";
    for (answer, exit) in [
        (answer(reached([true, true]), Value::Null), Exit::Drained),
        (answer(reached([true, false]), Value::Null), Exit::Found),
        (answer(reached([true, true]), json!(alone)), Exit::Found),
    ] {
        for command in [
            &["pause", "orders"][..],
            &["rate", "orders", "5/s"],
            &["scale", "orders", "2"],
            &["skip", "orders", "created:0", "7", "--yes"],
        ] {
            assert_eq!(asked(command, std::slice::from_ref(&answer)).1, exit, "{command:?}: {answer}");
        }
        let mut lifted = answer;
        lifted["lifted"] = json!({
            "id": "a", "daemon": "orders", "change": {"workers": 2}, "by": "ada", "reason": "why", "at": 0, "until": 1, "here_alone": false,
        });
        assert_eq!(asked(&["lift", "a"], &[lifted.clone()]).1, exit, "{lifted}");
    }
    let row = SteeredRow::of(serde_json::from_value(answer(reached([true, false]), json!(alone))).expect("an answer"));
    assert_eq!(serde_json::to_value(row).expect("JSON")["trouble"], json!(alone));
}
