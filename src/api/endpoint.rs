//! Endpoints: what can be asked for, by whom, and what comes of it. The invariant: there is no other way to a handler than an endpoint, and
//! none is made without a role.

use axum::extract::rejection::{FormRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{
    ConnectInfo, DefaultBodyLimit, Form, FromRequest, FromRequestParts, Json, Path, Query, Request, State,
};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use super::access::{Identity, Role};
use super::gate::{admit, astray, authorize, dress};
use super::problem::Problem;
use super::server::Peer;
use super::state::Api;

/// Bytes that a request may bring …
const BODY: usize = 64 * 1024;
/// … and the changed value of a letter, of which a form makes three bytes of one where that is no letter or digit.
const LARGE: usize = 256 * 1024;

/// The schema of a type.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// See the module.
pub(super) struct Endpoint {
    pub(super) method: Method,
    /// With `{…}` for what is taken from it.
    pub(super) path: &'static str,
    pub(super) role: Role,
    pub(super) summary: &'static str,
    /// What is taken from the path and from behind `?`.
    pub(super) parameters: Vec<SchemaOf>,
    pub(super) request: Option<SchemaOf>,
    /// What it answers; none for a page, which is for people.
    pub(super) response: Option<SchemaOf>,
    route: MethodRouter<Api>,
    /// More may be sent than elsewhere.
    is_large: bool,
}

impl Endpoint {
    /// A question, which is answered with an `R`.
    pub(super) fn get<R: JsonSchema, T: 'static>(
        path: &'static str,
        role: Role,
        summary: &'static str,
        handler: impl Handler<T, Api>,
    ) -> Self {
        Self::new(Method::GET, path, role, summary, get(handler)).answers::<R>()
    }

    /// Something to do, which is answered with an `R`.
    pub(super) fn post<R: JsonSchema, T: 'static>(
        path: &'static str,
        role: Role,
        summary: &'static str,
        handler: impl Handler<T, Api>,
    ) -> Self {
        Self::new(Method::POST, path, role, summary, post(handler)).answers::<R>()
    }

    /// A page.
    pub(super) fn page<T: 'static>(
        path: &'static str,
        role: Role,
        summary: &'static str,
        handler: impl Handler<T, Api>,
    ) -> Self {
        Self::new(Method::GET, path, role, summary, get(handler))
    }

    /// What a page's form does.
    pub(super) fn form<T: 'static>(
        path: &'static str,
        role: Role,
        summary: &'static str,
        handler: impl Handler<T, Api>,
    ) -> Self {
        Self::new(Method::POST, path, role, summary, post(handler))
    }

    fn new(method: Method, path: &'static str, role: Role, summary: &'static str, route: MethodRouter<Api>) -> Self {
        Self {
            method,
            path,
            role,
            summary,
            parameters: Vec::new(),
            request: None,
            response: None,
            route,
            is_large: false,
        }
    }

    fn answers<R: JsonSchema>(self) -> Self {
        Self { response: Some(SchemaGenerator::subschema_for::<R>), ..self }
    }

    /// It takes the fields of a `P` from the path, or from behind `?`.
    pub(super) fn with<P: JsonSchema>(mut self) -> Self {
        // Each is a schema by itself, which can't refer to another one.
        self.parameters.push(|_| {
            let inline = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
            inline.into_generator().into_root_schema_for::<P>()
        });
        self
    }

    /// It takes as much as a letter's value may have.
    pub(super) fn large(self) -> Self {
        Self { is_large: true, ..self }
    }

    /// It takes a `B` as JSON.
    pub(super) fn takes<B: JsonSchema>(self) -> Self {
        Self { request: Some(SchemaGenerator::subschema_for::<B>), ..self }
    }
}

/// What its gate has to know of an endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guarded {
    pub(super) role: Role,
    /// It shows what stands in records, to those who may see that.
    pub(super) shows_records: bool,
    /// It is for people, and so is what is in its way.
    pub(super) is_page: bool,
}

impl Guarded {
    fn of(endpoint: &Endpoint) -> Self {
        // A letter is a record, and so are those of a list of them; what they are counted by is none.
        let is_letters = endpoint.path.contains("/letters/{topic}") && !endpoint.path.ends_with("/kinds");
        let shows_records = is_letters || endpoint.path.contains("/topics/{topic}/{partition}");
        Self { role: endpoint.role, shows_records, is_page: endpoint.response.is_none() }
    }
}

/// All endpoints behind their gate.
pub(super) fn router(endpoints: Vec<Endpoint>, api: Api) -> Router {
    let router = endpoints.into_iter().fold(Router::new(), |router, endpoint| {
        let guarded = Guarded::of(&endpoint);
        let Endpoint { path, route, is_large, .. } = endpoint;
        let route = if is_large { route.layer(DefaultBodyLimit::max(LARGE)) } else { route };
        let guard = move |State(api): State<Api>,
                          ConnectInfo(Peer { address: peer, .. }): ConnectInfo<Peer>,
                          Extension(identity): Extension<Identity>,
                          request: Request,
                          next: Next| { authorize(api, guarded, peer, identity, request, next) };
        router.route(path, route.route_layer(from_fn_with_state(api.clone(), guard)))
    });
    router
        .fallback(async |State(api): State<Api>, Extension(identity): Extension<Identity>, request: Request| {
            let nothing = Problem::not_found("there is nothing here: `/api/v1/openapi.json` lists what there is");
            astray(&api, &identity, &request, nothing)
        })
        .method_not_allowed_fallback(
            async |State(api): State<Api>, Extension(identity): Extension<Identity>, request: Request| {
                let detail = "this can't be done here: `/api/v1/openapi.json` lists what can";
                astray(&api, &identity, &request, Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail))
            },
        )
        .layer(DefaultBodyLimit::max(BODY))
        .layer(from_fn_with_state(api.clone(), admit))
        .layer(map_response(dress))
        .with_state(api)
}

/// What a request brings as JSON.
pub(super) struct Sent<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Api> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let sent: Result<Json<T>, JsonRejection> = Json::from_request(request, api).await;
        Ok(Self(sent?.0))
    }
}

/// What a page's form brings.
pub(super) struct Filled<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Api> for Filled<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let filled: Result<Form<T>, FormRejection> = Form::from_request(request, api).await;
        Ok(Self(filled?.0))
    }
}

/// What stands in its path.
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let named: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, api).await;
        Ok(Self(named?.0))
    }
}

/// What stands behind its `?`.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Api> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let asked: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, api).await;
        Ok(Self(asked?.0))
    }
}
