//! A page: what all of them have.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use crate::api::access::{Identity, Role};
use crate::api::problem::Problem;
use crate::api::state::Api;
use crate::pipeline::dead_letter::Reason;
use crate::record::Timestamp;

const STYLE: &str = include_str!("assets/app.css");
const SCRIPT: &str = include_str!("assets/live.js");

/// A whole page.
pub(in crate::api) struct Page(pub(super) Markup);

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        Html(self.0.into_string()).into_response()
    }
}

/// What a page needs beside itself. It tells nothing of the daemons, so it asks nobody who they are.
pub(in crate::api) fn asset(path: &str) -> Option<Response> {
    let (kind, text) = match path {
        "/assets/app.css" => ("text/css; charset=utf-8", STYLE),
        "/assets/live.js" => ("text/javascript; charset=utf-8", SCRIPT),
        _ => return None,
    };
    let mut response = text.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Some(response)
}

/// The page around this, for whoever asks.
pub(super) fn shell(api: &Api, identity: &Identity, title: &str, at: &str, body: Markup) -> Markup {
    let links = [
        ("/", "Overview", "o", Role::Viewer),
        ("/fleet", "Fleet", "f", Role::Viewer),
        ("/workers", "Workers", "w", Role::Viewer),
        ("/errors", "Errors", "e", Role::Viewer),
        ("/letters", "Dead letters", "d", Role::Viewer),
        ("/overrides", "Overrides", "v", Role::Viewer),
        ("/commands", "Commands", "m", Role::Viewer),
        ("/topics", "Topics", "t", Role::Operator),
        ("/config", "Configuration", "c", Role::Operator),
        ("/audit", "Audit", "a", Role::Operator),
        ("/doctor", "Doctor", "r", Role::Operator),
    ];
    let instance = &api.instance;
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("{title} · {}", instance.program)))
            body {
                a.skip href="#main" { "To the content" }
                header {
                    strong { (instance.program) }
                    nav aria-label="Pages" {
                        @for (path, name, key, role) in links {
                            @if identity.role >= role {
                                a href=(path) data-key=(key) aria-current=[(path == at).then_some("page")] title={ "Key " (key) } { (name) }
                            }
                        }
                    }
                    span.who {
                        (instance.host) " · " (identity.name) " (" (identity.role) ")"
                        @if !api.admitted.is_everybody() {
                            " " form method="post" action=(super::LOGOUT) { button { "Sign out" } }
                        }
                    }
                }
                main #main {
                    button #pause hidden aria-pressed="false" title="Key p" { "Stop updating" }
                    p #lost.notice.bad hidden { "Nothing was heard of this process for five seconds: what is shown may be old." }
                    p #signed-out.notice.bad role="alert" hidden { "You are no longer signed in, so this is updated no more. " a href="" { "Sign in" } }
                    (body)
                }
                (keys(&links, identity))
                footer { "daemonry " (instance.version) " · process " (instance.pid) " on " (instance.host) " · " a href="/api/v1/openapi.json" { "API" } " · " button #keys-open hidden { "Keys" } }
            }
        }
    }
}

/// What the keys do, for whoever presses `?`.
fn keys(links: &[(&str, &str, &str, Role)], identity: &Identity) -> Markup {
    let others = [
        ("?", "shows this, and hides it"),
        ("/", "goes to the first field"),
        ("j", "goes to the next link of a table"),
        ("k", "goes to the one before"),
        ("p", "has the page be updated no more, and again"),
    ];
    let pages = links.iter().filter(|(.., role)| identity.role >= *role).map(|(_, name, key, _)| (*key, *name));
    html! {
        dialog #keys aria-label="Keys" {
            h2 { "Keys" }
            dl { @for (key, what) in others.into_iter().chain(pages) { dt { kbd { (key) } } dd { (what) } } }
            label.check { input #keys-wanted type="checkbox"; "Keys do this" }
            form method="dialog" { button { "Close" } }
        }
    }
}

pub(super) fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            title { (title) }
            link rel="stylesheet" href="/assets/app.css";
            link rel="icon" href="data:,";
            script src="/assets/live.js" defer {}
        }
    }
}

/// What could not be done, and the way back.
pub(super) fn not_done(api: &Api, identity: &Identity, problem: &Problem, back: &str, to: &str) -> Response {
    failed(api, identity, "Not done", problem, (back, to))
}

/// What can't be shown to whoever only looks, and the way to what can.
pub(super) fn not_shown(api: &Api, identity: &Identity, problem: &Problem, back: &str, to: &str) -> Response {
    let title = match problem.status() {
        400 => "Not understood",
        403 => "Not allowed",
        404 => "Not found",
        503 => "Not to be had now",
        _ => "Nothing to show",
    };
    failed(api, identity, title, problem, (back, to))
}

fn failed(api: &Api, identity: &Identity, title: &str, problem: &Problem, (back, to): (&str, &str)) -> Response {
    let body = html! {
        h1 { (title) }
        p.notice.bad role="alert" { (problem.detail()) }
        p { a href=(back) { "Back to " (to) } }
    };
    let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::BAD_REQUEST);
    problem.noted((status, Page(shell(api, identity, title, "", body))).into_response())
}

/// A name as a part of an address.
pub(crate) fn encoded(name: &str) -> String {
    let pair = serde_urlencoded::to_string([("", name)]).unwrap_or_default();
    pair.trim_start_matches('=').replace('+', "%20")
}

/// A count that stands out where it is not 0.
pub(super) fn count(number: usize, class: &str) -> Markup {
    if number == 0 {
        html! { span.faint { "0" } }
    } else {
        html! { b class=(class) { (number) } }
    }
}

/// With a space between thousands, that neither wraps nor is taken for a point.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Milliseconds, to two units.
pub(in crate::api) fn time(millis: u64) -> String {
    let seconds = millis / 1_000;
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, 0) if millis > 0 => format!("{millis} ms"),
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, ..) => format!("{days} d {hours} h"),
    }
}

/// A choice of one reason of failures, or any.
pub(super) fn reasons(chosen: Option<&str>) -> Markup {
    html! {
        label { "Reason"
            select name="reason" {
                option value="" { "any" }
                @for reason in Reason::ALL.map(Reason::name) { option value=(reason) selected[chosen == Some(reason)] { (reason) } }
            }
        }
    }
}

/// How long ago a time was, in milliseconds since 1970 UTC.
pub(super) fn ago(millis: Option<u64>) -> String {
    millis.map_or_else(
        || "–".to_owned(),
        |millis| format!("{} ago", time(Timestamp::now().as_millis().saturating_sub(millis))),
    )
}

/// A time, in milliseconds since 1970 UTC.
pub(super) fn with_time(millis: u64) -> Markup {
    let shown = dated(millis);
    html! { time datetime=(shown) { (shown) } }
}

/// How long ago a time was, with the time for whoever points at it.
pub(super) fn since(millis: u64) -> Markup {
    let shown = dated(millis);
    html! { time datetime=(shown) title=(shown) { (ago(Some(millis))) } }
}

/// A time, in milliseconds since 1970 UTC, as text.
pub(super) fn dated(millis: u64) -> String {
    // The last that a calendar has, for what is later.
    let shown = i64::try_from(millis).ok().and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    format!("{:.3}", shown.unwrap_or(jiff::Timestamp::MAX))
}

/// A line of values, the latest on the right.
pub(super) fn spark(values: &[u64], what: &str) -> Markup {
    let most = values.iter().copied().max().unwrap_or(0);
    #[allow(clippy::cast_precision_loss)]
    let place = |(index, value): (usize, &u64)| {
        let across = index as f64 * 120.0 / (values.len().max(2) - 1) as f64;
        format!("{across:.1},{:.1}", 22.0 - *value as f64 / most.max(1) as f64 * 20.0)
    };
    let points: Vec<String> = values.iter().enumerate().map(place).collect();
    html! {
        svg.spark viewBox="0 0 120 24" preserveAspectRatio="none" role="img" aria-label={ (what) ", at most " (most) } {
            polyline points=(points.join(" "));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn numbers_and_times_are_readable() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]);
        assert_eq!([0, 7, 59_999, 3_600_000, 90_061_000].map(time), ["0 s", "7 ms", "59 s", "1 h 0 min", "1 d 1 h"]);
    }

    /// The colours of each theme, by their names: light, then dark.
    fn themes() -> Vec<BTreeMap<&'static str, [u8; 3]>> {
        let themes = STYLE.split(":root {").skip(1).map(|rest| rest.split('}').next().unwrap_or_default());
        let colours = themes.map(|theme| {
            let pairs = theme.split(';').filter_map(|pair| pair.trim().strip_prefix("--")?.split_once(": #"));
            let channel = |text: &str, at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("a colour");
            pairs.map(|(name, text)| (name, [0, 2, 4].map(|at| channel(text, at)))).collect()
        });
        colours.collect()
    }

    /// As WCAG has it.
    fn luminance(colour: [u8; 3]) -> f64 {
        let linear = colour
            .map(f64::from)
            .map(|channel| channel / 255.0)
            .map(|channel| if channel <= 0.040_45 { channel / 12.92 } else { ((channel + 0.055) / 1.055).powf(2.4) });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }

    #[test]
    fn every_colour_of_text_can_be_read_on_every_ground_in_both_themes() {
        let themes = themes();
        assert_eq!(themes.len(), 2);
        for theme in themes {
            for text in ["ink", "faint", "accent", "good", "warning", "bad"] {
                for ground in ["ground", "raised", "bad-ground", "warning-ground"] {
                    let [one, other] = [text, ground].map(|name| luminance(theme[name]) + 0.05);
                    let contrast = f64::max(one / other, other / one);
                    assert!(contrast >= 4.5, "{text} on {ground}: {contrast:.2}, of AA's 4.5");
                }
            }
        }
    }
}
