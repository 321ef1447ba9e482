//! The gate: everything that a request passes before its route sees it, and what every answer has.
//!
//! In this order: how often its address has asked; the name it came by; whether another site sent it; who asks. Then, at the route, whether
//! they may. The invariant: what does not pass here has touched nothing.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use axum::body::HttpBody;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::access::{Identity, Role};
use super::audit;
use super::endpoint::Guarded;
use super::problem::Problem;
use super::rate::{REQUEST, WRONG_TOKEN};
use super::server::Peer;
use super::state::Api;
use super::streams::Open;
use super::ui;
use crate::admin::household;

/// Names that the API is reached by.
#[derive(Clone, Debug)]
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    pub(super) fn new(names: Vec<String>) -> Self {
        Self(names.into_iter().map(|name| name.to_ascii_lowercase()).collect())
    }

    /// Whether a browser that was told so means us. A name may be anybody's, and lead here; an address can't.
    fn is_ours(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<IpAddr>().is_ok() || name == "localhost" || self.0.contains(&name)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
        Some((name, port)) if !port.contains(']') && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// What every request passes.
pub(super) async fn admit(
    State(api): State<Api>,
    ConnectInfo(Peer { address: connected, has_asked }): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    // From here on whoever asks is who a proxy says that it is asked by.
    let peer = api.proxies.client(connected, request.headers());
    request.extensions_mut().insert(ConnectInfo(Peer { address: peer, has_asked: has_asked.clone() }));
    // What has a body may be on its way for as long as its sender likes.
    if request.body().is_end_stream() {
        has_asked.note();
    }
    let asked = audit::Request { from: peer, method: request.method().clone(), path: request.uri().path().to_owned() };
    let turned_away = |refusal: Refusal| refusal.answer(&api, &asked);
    if let Err(refusal) = pass(&api, peer, &request) {
        return turned_away(refusal);
    }
    // What is the same for everybody, and how to become somebody.
    let is_sent = asked.method == Method::POST;
    if let Some(asset) = ui::asset(&asked.path).filter(|_| is_question(&asked.method)) {
        return asset;
    }
    if asked.path == ui::LOGIN && is_sent {
        return match ui::login(&api, request).await {
            Ok(response) => {
                if let Some(who) = signed_in(&api, &response) {
                    api.audit.signed("signed in", &who, &asked);
                }
                response
            }
            Err(again) => turned_away(match pay(&api, peer, WRONG_TOKEN) {
                Ok(()) => {
                    Refusal { answer: Box::new(again), why: Some("a sign-in with a token that nobody has".to_owned()) }
                }
                Err(too_often) => too_often,
            }),
        };
    }
    if asked.path == ui::LOGOUT && is_sent {
        if let Some(who) = api.admitted.identify(ui::token_of(request.headers()).as_deref()) {
            api.audit.signed("signed out", &who, &asked);
        }
        return ui::logout(&api);
    }
    match identify(&api, peer, &request) {
        Ok(identity) => {
            request.extensions_mut().insert(identity);
            next.run(request).await
        }
        Err(refusal) => turned_away(refusal),
    }
}

/// Whose token a browser was given to keep: as it will show it.
fn signed_in(api: &Api, response: &Response) -> Option<Identity> {
    let cookie = response.headers().get(header::SET_COOKIE)?.clone();
    api.admitted.identify(ui::token_of(&HeaderMap::from_iter([(header::COOKIE, cookie)])).as_deref())
}

/// Why somebody is not let in.
struct Refusal {
    answer: Box<Response>,
    /// For the audit log; none of what happens to whoever comes for the first time.
    why: Option<String>,
}

impl Refusal {
    fn new(status: StatusCode, detail: impl Into<String>, why: impl Into<String>) -> Self {
        Self { answer: Box::new(Problem::new(status, detail.into()).into_response()), why: Some(why.into()) }
    }

    /// The answer to it, once it is written down.
    fn answer(self, api: &Api, asked: &audit::Request) -> Response {
        if let Some(why) = self.why {
            api.audit.turned_away(asked, self.answer.status(), why);
        }
        *self.answer
    }
}

/// Takes the price of a request from what its address may ask.
fn pay(api: &Api, peer: SocketAddr, price: f64) -> Result<(), Refusal> {
    api.rate.take(household(peer.ip()), price, Instant::now()).map_err(|wait| {
        let seconds = wait.as_secs().saturating_add(1);
        let mut refusal =
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, format!("ask again in {seconds} s"), "asked too often");
        refusal.answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        refusal
    })
}

/// Whether it comes as it should, whoever has sent it.
fn pass(api: &Api, peer: SocketAddr, request: &Request) -> Result<(), Refusal> {
    pay(api, peer, REQUEST)?;
    let headers = request.headers();
    let host = text(headers, header::HOST).or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    let Some(host) = host.filter(|host| api.hosts.is_ours(host)) else {
        let detail = "this is not reached by such a name: add it to `api.hosts`, or use an address";
        let why = format!("came by the name `{}`", host.unwrap_or_default());
        return Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, detail, why));
    };
    if !is_question(request.method()) && comes_from_elsewhere(headers, host) {
        let origin = text(headers, header::ORIGIN).unwrap_or("another site");
        return Err(Refusal::new(StatusCode::FORBIDDEN, "another site has sent this", format!("sent by `{origin}`")));
    }
    Ok(())
}

/// Who has sent it.
fn identify(api: &Api, peer: SocketAddr, request: &Request) -> Result<Identity, Refusal> {
    let headers = request.headers();
    let kept = ui::token_of(headers);
    let shown = text(headers, header::AUTHORIZATION).and_then(bearer).or(kept.as_deref());
    if let Some(identity) = api.admitted.identify(shown) {
        return Ok(identity);
    }
    if shown.is_some() {
        pay(api, peer, WRONG_TOKEN)?;
    }
    let why = shown.map(|_| "showed a token that nobody has".to_owned());
    // Also for what a form has sent: who had signed in may have been forgotten meanwhile.
    if is_for_people(headers) {
        return Err(Refusal { answer: Box::new(ui::login_page(api, false)), why });
    }
    let detail = "show a token that is configured under `api.tokens`, as in `authorization: Bearer …`";
    let mut answer = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    Err(Refusal { answer: Box::new(answer), why })
}

/// Whether somebody looks at the answer.
fn is_for_people(headers: &HeaderMap) -> bool {
    text(headers, header::ACCEPT).is_some_and(|accepts| accepts.contains("text/html"))
}

/// Where there is no route: what is wrong, as a page for people.
pub(super) fn astray(api: &Api, identity: &Identity, request: &Request, problem: Problem) -> Response {
    if is_for_people(request.headers()) {
        ui::problem(api, identity, &problem, !is_question(request.method()))
    } else {
        problem.into_response()
    }
}

/// Whether it changes nothing.
fn is_question(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether a browser says that a page of another site is behind it.
fn comes_from_elsewhere(headers: &HeaderMap, host: &str) -> bool {
    let site = text(headers, HeaderName::from_static("sec-fetch-site"));
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return true;
    }
    let origin = text(headers, header::ORIGIN);
    origin.is_some_and(|origin| origin.split_once("://").is_none_or(|(_, from)| !from.eq_ignore_ascii_case(host)))
}

/// The token of a header.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// At a route: lets those in who have its role, and writes down what is no question, what was not allowed, and who has seen records.
pub(super) async fn authorize(
    api: Api,
    route: Guarded,
    peer: SocketAddr,
    identity: Identity,
    request: Request,
    next: Next,
) -> Response {
    let asked = audit::Request { from: peer, method: request.method().clone(), path: request.uri().path().to_owned() };
    let is_change = !is_question(&asked.method);
    let answer = {
        let api = api.clone();
        async move {
            let response = if identity.role >= route.role {
                match open_stream(&api, peer, &identity, &asked.path) {
                    Ok(open) => {
                        let response = next.run(request).await;
                        match open {
                            Some(open) => open.along(response),
                            None => response,
                        }
                    }
                    Err(too_many) => too_many.into_response(),
                }
            } else {
                let detail = format!("`{}` is {}, this takes {}", identity.name, identity.role, route.role);
                Problem::new(StatusCode::FORBIDDEN, detail).into_response()
            };
            // What a route refuses by itself, as a condition that would tell what is hidden, is no less refused.
            if is_change || response.status() == StatusCode::FORBIDDEN {
                if let Some(done) = api.audit.note(&identity, &asked, &response) {
                    api.fleet.did(done);
                }
            } else if route.shows_records && identity.role >= Role::Operator && response.status().is_success() {
                api.audit.saw(&identity, &asked);
            }
            match response.extensions().get::<Problem>() {
                Some(problem) if route.is_page => ui::problem(&api, &identity, problem, is_change),
                _ => response,
            }
        }
    };
    // Whoever hangs up in the middle of a change leaves it neither half done nor without its entry.
    if is_change { api.carry_out(answer).await } else { answer.await }
}

/// That somebody has one more live page open, where it is one.
fn open_stream(api: &Api, peer: SocketAddr, identity: &Identity, path: &str) -> Result<Option<Open>, Problem> {
    if !path.starts_with(ui::LIVE) {
        return Ok(None);
    }
    // Where nobody shows a token they are told apart by their addresses alone.
    let who = match api.admitted.is_everybody() {
        true => household(peer.ip()).to_string(),
        false => identity.name.to_string(),
    };
    match api.streams.open(who) {
        Some(open) => Ok(Some(open)),
        None => {
            let detail = "as many live pages of yours are open as may be: close one";
            Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail))
        }
    }
}

/// What every answer has.
pub(super) async fn dress(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 8] = [
        // A connection serves one request, so that the time a connection may last bounds the request as a whole.
        (header::CONNECTION, "close"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not less: of a form it would leave out the origin, by which it is told from another site's.
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_somebody_else_is_not_ours() {
        let hosts = Hosts::new(vec!["Shop.example.org".to_owned()]);
        for ours in ["localhost", "localhost:9466", "127.0.0.1:9466", "[::1]:9466", "10.0.0.7", "shop.example.org:443"]
        {
            assert!(hosts.is_ours(ours), "{ours}");
        }
        for other in ["evil.example.org", "localhost.evil.example.org", "127.0.0.1.evil.example.org:9466", "", "["] {
            assert!(!hosts.is_ours(other), "{other}");
        }
    }

    #[test]
    fn another_sites_page_is_told_from_a_script_and_from_our_own() {
        let from = |pairs: &[(&str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                let name: HeaderName = name.parse().expect("a header's name");
                headers.insert(name, value.parse().expect("a header's value"));
            }
            comes_from_elsewhere(&headers, "localhost:9466")
        };
        assert!(!from(&[]), "no browser");
        assert!(!from(&[("sec-fetch-site", "same-origin"), ("origin", "http://localhost:9466")]));
        assert!(!from(&[("origin", "http://LOCALHOST:9466")]));
        assert!(from(&[("sec-fetch-site", "cross-site")]));
        assert!(from(&[("sec-fetch-site", "same-site")]));
        assert!(from(&[("origin", "http://localhost:8080")]));
        assert!(from(&[("origin", "null")]));
    }
}
