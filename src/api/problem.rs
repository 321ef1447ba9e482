//! What is said where a request is not done, as RFC 9457 has it.

use axum::Json;
use axum::extract::rejection::{FormRejection, JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::audit::{Detail, Open};

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Problem {
    /// The status code of the answer.
    status: u16,
    /// What that means.
    title: String,
    /// What is wrong, and what to do about it.
    detail: String,
    /// What was asked for, and why, where that is known: for the audit log.
    #[serde(skip)]
    wanted: Option<String>,
    /// It may have been done, or be done yet.
    #[serde(skip)]
    is_open: bool,
}

/// Statuses that any answer may have.
pub(super) const STATUSES: [StatusCode; 12] = [
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::CONFLICT,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::MISDIRECTED_REQUEST,
    StatusCode::UNPROCESSABLE_ENTITY,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::SERVICE_UNAVAILABLE,
];

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        debug_assert!(STATUSES.contains(&status), "{status} is documented");
        let title = status.canonical_reason().unwrap_or_default().to_owned();
        Self { status: status.as_u16(), title, detail: detail.into(), wanted: None, is_open: false }
    }

    /// This was asked for, in words and with the reason that was given; whoever knows it more exactly has said so before.
    #[must_use]
    pub(super) fn wanted(mut self, what: impl Into<String>) -> Self {
        self.wanted.get_or_insert_with(|| what.into());
        self
    }

    /// Whether it was done is not known, or it is done yet.
    #[must_use]
    pub(super) fn open(self) -> Self {
        Self { is_open: true, ..self }
    }

    /// Has the audit log say, beside the answer, what was asked for and what came of it.
    pub(super) fn noted(&self, mut response: Response) -> Response {
        let came_to = if self.is_open { "not known whether it was done" } else { "not done" };
        let detail = match &self.wanted {
            Some(wanted) => format!("{wanted}; {came_to}: {}", self.detail),
            None => self.detail.clone(),
        };
        response.extensions_mut().insert(Detail(detail));
        if self.is_open {
            response.extensions_mut().insert(Open);
        }
        response
    }

    /// What is wrong.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// The status code.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }
}

/// That a reason is one: what operators change carries it for as long as it holds.
pub(super) fn says_why(reason: &str) -> Result<(), Problem> {
    if reason.trim().is_empty() { Err(Problem::bad_request("say in `reason` why")) } else { Ok(()) }
}

/// Does what was asked for; what is in its way says what that was.
pub(super) async fn asked_for<T>(wanted: String, work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    work.await.map_err(|problem| problem.wanted(wanted))
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = (status, Json(&self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        let mut response = self.noted(response);
        // A page has it said in its own way.
        response.extensions_mut().insert(self);
        response
    }
}

/// What was sent can't be taken.
fn unread(status: StatusCode, detail: String) -> Problem {
    let status = match status {
        status @ (StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNSUPPORTED_MEDIA_TYPE) => status,
        _ => StatusCode::BAD_REQUEST,
    };
    Problem::new(status, detail)
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        unread(rejection.status(), rejection.body_text())
    }
}

impl From<FormRejection> for Problem {
    fn from(rejection: FormRejection) -> Self {
        unread(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}
