//! What the admin server answers: `/livez`, `/readyz`, `/startupz`, `/metrics`.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::Response;
use axum::routing::get;
use tokio::time::Instant;

use super::health::{Complaints, HealthBoard};
use crate::metrics::Metrics;

/// The content type of Prometheus's text format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone)]
struct Admin {
    board: HealthBoard,
    metrics: Metrics,
}

pub(super) fn router(board: HealthBoard, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/startupz", get(started))
        .route("/metrics", get(metrics_text))
        .layer(middleware::map_response(close))
        .with_state(Admin { board, metrics })
}

/// A connection serves one request, so that the time a connection may last bounds the request as a whole.
async fn close(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

async fn live(State(admin): State<Admin>) -> (StatusCode, String) {
    answer(&admin.board.liveness(Instant::now()))
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, String) {
    answer(&admin.board.readiness(Instant::now()))
}

async fn started(State(admin): State<Admin>) -> (StatusCode, String) {
    answer(&admin.board.startup(Instant::now()))
}

fn answer(complaints: &Complaints) -> (StatusCode, String) {
    if complaints.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, complaints.join("\n") + "\n")
    }
}

async fn metrics_text(State(admin): State<Admin>) -> ([(HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, EXPOSITION)], admin.metrics.render())
}
