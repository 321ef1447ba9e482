//! The OpenAPI document: made from the endpoints, so that it can't say anything else than they do.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::endpoint::Endpoint;
use super::problem::{Problem, STATUSES};

/// The document of these endpoints. `is_open`: nobody has to show a token.
pub(super) fn document(program: &str, endpoints: &[Endpoint], is_open: bool) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
    });
    let mut schemas = settings.into_generator();
    let problem = schemas.subschema_for::<Problem>();
    let mut responses: Map<String, Value> = STATUSES
        .iter()
        .map(|status| {
            let content = json!({"application/problem+json": {"schema": problem}});
            let reason = status.canonical_reason().unwrap_or_default();
            (status.as_str().to_owned(), json!({"description": reason, "content": content}))
        })
        .collect();
    let mut paths = Map::new();
    for endpoint in endpoints {
        let Some(response) = endpoint.response else { continue };
        let response = response(&mut schemas);
        let done = json!({"description": "Done", "content": {"application/json": {"schema": response}}});
        responses.insert("200".to_owned(), done);
        let mut operation = json!({
            "summary": endpoint.summary,
            "description": format!("Takes the role `{}`.", endpoint.role),
            "operationId": operation_id(endpoint),
            "responses": responses,
            "x-role": endpoint.role,
        });
        let parameters: Vec<Value> = endpoint
            .parameters
            .iter()
            .flat_map(|schema_of| parameters(endpoint.path, &schema_of(&mut schemas).to_value()))
            .collect();
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        if let Some(request) = endpoint.request {
            let content = json!({"application/json": {"schema": request(&mut schemas)}});
            operation["requestBody"] = json!({"required": true, "content": content});
        }
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("{program}: admin API"),
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the daemons of this process are at, and what is done about it. Times are milliseconds since 1970 UTC.",
        },
        "security": if is_open { json!([]) } else { json!([{"token": []}]) },
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

/// As in `get_daemons_name_partitions`.
fn operation_id(endpoint: &Endpoint) -> String {
    let parts = endpoint.path.split('/').filter(|part| !matches!(*part, "" | "api" | "v1"));
    let name = parts.map(|part| part.trim_matches(['{', '}']).replace('.', "_"));
    std::iter::once(endpoint.method.as_str().to_lowercase()).chain(name).collect::<Vec<_>>().join("_")
}

/// The fields of a schema as parameters: those that stand in the path there, the others behind `?`.
fn parameters(path: &str, schema: &Value) -> Vec<Value> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let fields = schema["properties"].as_object().into_iter().flatten();
    let parameters = fields.map(|(name, field)| {
        let is_in_path = path.contains(&format!("{{{name}}}"));
        let mut field = field.clone();
        let description = field.as_object_mut().and_then(|field| field.remove("description"));
        json!({
            "name": name,
            "in": if is_in_path { "path" } else { "query" },
            "required": is_in_path || required.contains(&json!(name)),
            "description": description.unwrap_or_default(),
            "schema": field,
        })
    });
    parameters.collect()
}
