//! Signing in: a browser keeps the token in a cookie that no script can read, and that no other site can have sent.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use maud::{DOCTYPE, html};

use super::page::head;
use crate::api::state::Api;

/// Where a token is handed in.
pub(in crate::api) const LOGIN: &str = "/login";
/// Where it is forgotten.
pub(in crate::api) const LOGOUT: &str = "/logout";

const COOKIE: &str = "daemonry_token";
/// Bytes that a form with a token may have.
const FORM: usize = 4_096;

#[derive(serde::Deserialize)]
struct Form {
    token: String,
}

/// Asks for a token; `wrong` where one was shown that nobody has.
pub(in crate::api) fn login_page(api: &Api, wrong: bool) -> Response {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("Sign in · {}", api.instance.program)))
            body { main.login {
                h1 { (api.instance.program) }
                @if wrong { p.notice.bad role="alert" { "Nobody has this token." } }
                form method="post" action=(LOGIN) {
                    label { "Token, as configured under api.tokens"
                        input type="password" name="token" required autofocus autocomplete="current-password"; }
                    button { "Sign in" }
                }
            } }
        }
    };
    (StatusCode::UNAUTHORIZED, Html(markup.into_string())).into_response()
}

/// Takes a token; answers whether it is somebody's.
pub(in crate::api) async fn login(api: &Api, request: Request) -> Result<Response, Response> {
    let body = to_bytes(request.into_body(), FORM).await.unwrap_or_default();
    let form = serde_urlencoded::from_bytes::<Form>(&body).ok();
    let Some(token) = form.map(|form| form.token).filter(|token| api.admitted.identify(Some(token)).is_some()) else {
        return Err(login_page(api, true));
    };
    Ok(with_cookie(api, &URL_SAFE_NO_PAD.encode(token), ""))
}

/// Forgets it.
pub(in crate::api) fn logout(api: &Api) -> Response {
    with_cookie(api, "", "; Max-Age=0")
}

fn with_cookie(api: &Api, value: &str, more: &str) -> Response {
    let mut response = Redirect::to("/").into_response();
    let secure = if api.is_secure { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{more}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// The token of a request's cookie.
pub(in crate::api) fn token_of(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let mut cookies = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    let (_, value) = cookies.find(|(name, _)| *name == COOKIE)?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(value).ok()?).ok()
}
