//! What is kept of a flood, and what isn't pushed out by one.

use std::sync::Arc;

use axum::response::IntoResponse;

use super::*;
use crate::api::access::Role;
use crate::api::problem::Problem;

fn ada() -> Identity {
    Identity { name: Arc::from("ada"), role: Role::Operator }
}

fn request(from: [u8; 4], path: &str) -> Request {
    Request { from: SocketAddr::from((from, 4_711)), method: Method::POST, path: path.to_owned() }
}

/// The status codes with how often each came, the latest first.
fn counts(audit: &Audit) -> Vec<(u16, u64)> {
    audit.entries().iter().map(|entry| (entry.status, entry.count)).collect()
}

#[test]
fn what_comes_again_within_a_minute_is_one_entry_with_a_count() {
    let audit = Audit::default();
    for _ in 0..500 {
        audit.turned_away(&request([10, 0, 0, 1], "/"), StatusCode::TOO_MANY_REQUESTS, "asked too often".to_owned());
    }
    // Whatever path it is asked for by.
    audit.turned_away(&request([10, 0, 0, 1], "/other"), StatusCode::TOO_MANY_REQUESTS, "asked too often".to_owned());
    audit.turned_away(&request([10, 0, 0, 1], "/"), StatusCode::UNAUTHORIZED, "a wrong token".to_owned());
    audit.turned_away(&request([10, 0, 0, 2], "/"), StatusCode::TOO_MANY_REQUESTS, "asked too often".to_owned());
    assert_eq!(counts(&audit), [(429, 1), (401, 1), (429, 501)]);
    let entry = audit.entries().pop().expect("the first");
    assert_eq!((entry.who, entry.role, entry.path.as_str()), (None, None, "/"));
    assert!(entry.last >= Some(entry.at));
}

#[test]
fn a_flood_from_everywhere_leaves_few_entries_and_pushes_out_none_of_what_was_done() {
    let audit = Audit::default();
    for number in 0..DONE {
        let response = axum::Extension(Detail(format!("change {number}"))).into_response();
        assert!(audit.note(&ada(), &request([10, 0, 0, 1], "/pause"), &response).is_some(), "the others are to know");
    }
    for [high, low] in (0..20_000_u16).map(u16::to_be_bytes) {
        audit.turned_away(&request([10, 9, high, low], "/"), StatusCode::UNAUTHORIZED, "a wrong token".to_owned());
        // One who may do nothing here either, and thinks of another path each time.
        let viewer = Identity { name: Arc::from("eve"), role: Role::Viewer };
        let path = format!("/api/v1/daemons/{high}{low}/pause");
        let refused = audit.note(&viewer, &request([10, 0, 0, 7], &path), &StatusCode::FORBIDDEN.into_response());
        assert_eq!(refused, None, "no flood of refusals goes to the others");
        audit.saw(&ada(), &request([10, 0, 0, 1], &path));
        audit.signed("signed in", &ada(), &request([10, 8, high, low], "/login"));
    }
    let entries = audit.entries();
    let done = entries.iter().filter(|entry| entry.status == 200 && entry.path == "/pause");
    assert_eq!(done.count(), DONE, "all that was done is still there");
    // Refusals, sign-ins and what is seen: 60 each that are told apart, and one for the rest of each way and person.
    let others = entries.len() - DONE;
    assert!(others <= 3 * (ring::NEW + 2), "{others} entries");
    let counted: u64 = entries.iter().filter(|entry| entry.status == 401).map(|entry| entry.count).sum();
    assert_eq!(counted, 20_000, "none of them is forgotten");
    let rest = entries.iter().find(|entry| entry.status == 401 && entry.count > 10_000).expect("the rest of them");
    assert_eq!((rest.from.as_str(), rest.path.as_str()), ("others", "…"));
}

#[test]
fn the_log_hears_once_a_minute_how_often_it_was() {
    let (mut ring, now) = (Ring::of(3), Instant::now());
    let asked = request([10, 0, 0, 1], "/");
    let entry = |status: u16| entry(None, &asked, None, StatusCode::from_u16(status).expect("a status"));
    let note = |ring: &mut Ring, status: u16, at: Instant| {
        let entry = entry(status);
        let key = Key::of(&entry, asked.from.ip(), String::new());
        ring.note(entry, Some(key), 0, at).is_some()
    };
    assert!(note(&mut ring, 401, now), "the first is written at once");
    assert!(!note(&mut ring, 401, now + MINUTE / 2) && !note(&mut ring, 401, now + MINUTE / 2));
    assert!(ring.take_untold(now + MINUTE / 2).is_empty());
    let told = ring.take_untold(now + MINUTE);
    assert_eq!(told.iter().map(|entry| entry.count).collect::<Vec<_>>(), [3]);
    assert!(ring.take_untold(now + 2 * MINUTE).is_empty(), "once");
    assert!(note(&mut ring, 401, now + MINUTE), "another minute");
    // What has to go with a count that nobody knows leaves it behind.
    assert!(!note(&mut ring, 401, now + MINUTE));
    assert!([402, 403, 404].into_iter().all(|status| note(&mut ring, status, now + MINUTE)));
    let told = ring.take_untold(now + MINUTE);
    assert_eq!(told.iter().map(|entry| (entry.status, entry.count)).collect::<Vec<_>>(), [(401, 2)]);
}

#[test]
fn what_somebody_sends_is_not_kept_whatever_its_length() {
    let audit = Audit::default();
    let long = "é".repeat(50_000);
    audit.turned_away(&request([10, 0, 0, 1], &long), StatusCode::MISDIRECTED_REQUEST, long.clone());
    let entry = audit.entries().pop().expect("it was noted");
    assert!(entry.path.chars().count() == 1_001 && entry.detail.is_some_and(|detail| detail.len() < 2_100));
}

const MINUTE: Duration = ring::MINUTE;

#[test]
fn what_may_have_been_done_is_no_refusal_and_each_is_an_entry_that_the_others_hear_of() {
    let audit = Audit::default();
    let note = |problem: Problem| audit.note(&ada(), &request([10, 0, 0, 1], "/seek"), &problem.into_response());
    for _ in 0..2 {
        let told =
            note(Problem::conflict("no answer").open().wanted("seek created[0]")).expect("the others are to know");
        assert_eq!(told.detail.as_deref(), Some("seek created[0]; not known whether it was done: no answer"));
        assert_eq!(note(Problem::conflict("no daemon").wanted("pause all")), None);
        assert_eq!(note(Problem::conflict("no daemon").wanted("pause created")), None);
    }
    let entries = audit.entries();
    let told: Vec<_> = entries.iter().map(|entry| (entry.is_open, entry.count, entry.detail.as_deref())).collect();
    let (open, all, one) = (
        Some("seek created[0]; not known whether it was done: no answer"),
        Some("pause all; not done: no daemon"),
        Some("pause created; not done: no daemon"),
    );
    assert_eq!(told, [(false, 2, one), (false, 2, all), (true, 1, open), (true, 1, open)]);
}
