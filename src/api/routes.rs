//! The list of what can be asked for.

use axum::Json;
use axum::extract::State;
use axum::{Extension, response::IntoResponse};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::access::{Identity, Role};
use super::audit::AuditShown;
use super::commands;
use super::daemons;
use super::doctor;
use super::endpoint::Endpoint;
use super::fleet;
use super::instance::Instance;
use super::jobs;
use super::letters;
use super::overrides;
use super::state::Api;
use super::topics;
use super::ui;

/// Every endpoint.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut endpoints = vec![
        Endpoint::get::<Map<String, Value>, _>("/api/v1/openapi.json", Role::Viewer, "This document", document),
        Endpoint::get::<Me, _>("/api/v1/me", Role::Viewer, "Who asks, and what they may", me),
        Endpoint::get::<Instance, _>("/api/v1/instance", Role::Viewer, "This process", instance),
        Endpoint::get::<Configuration, _>(
            "/api/v1/config",
            Role::Operator,
            "What the program was configured with, without secrets",
            configuration,
        ),
        AuditShown::endpoint(),
    ];
    endpoints.extend(daemons::endpoints());
    endpoints.extend(fleet::endpoints());
    endpoints.extend(overrides::endpoints());
    endpoints.extend(commands::endpoints());
    endpoints.extend(topics::endpoints());
    endpoints.extend(letters::endpoints());
    endpoints.extend(jobs::endpoints());
    endpoints.extend(doctor::endpoints());
    endpoints.extend(ui::endpoints());
    endpoints
}

async fn document(State(api): State<Api>) -> impl IntoResponse {
    Json(api.document.clone())
}

/// Who asks.
#[derive(Debug, Serialize, JsonSchema)]
struct Me {
    /// The name of their token; `local` where none is needed.
    name: String,
    /// What they may.
    role: Role,
}

async fn me(Extension(identity): Extension<Identity>) -> Json<Me> {
    Json(Me { name: identity.name.to_string(), role: identity.role })
}

async fn instance(State(api): State<Api>) -> Json<Instance> {
    Json(api.instance.clone())
}

/// What the program was configured with.
#[derive(Debug, Serialize, JsonSchema)]
struct Configuration {
    /// As YAML, every default included and secrets masked; null where a program has its configuration in its code.
    yaml: Option<String>,
}

async fn configuration(State(api): State<Api>) -> Json<Configuration> {
    Json(Configuration { yaml: api.configuration.clone() })
}
