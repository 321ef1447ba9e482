//! The API's server: its thread, its runtime and its bounds are those of [`admin`](crate::admin).

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;

use super::endpoint::router;
use super::state::Api;
use super::{ApiConfig, Instance, openapi, routes};
use crate::admin::{AdminError, BoundedListener, Greeting, HasAsked, HttpServer, Tls};
use crate::fleet::Fleet;
use crate::supervisor::Roster;

const NAME: &str = "API";

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// Noted once it has asked something whole.
    pub(super) has_asked: HasAsked,
}

impl Connected<IncomingStream<'_, BoundedListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, BoundedListener>) -> Self {
        Self { address: *stream.remote_addr(), has_asked: stream.io().has_asked() }
    }
}

/// A running API. Dropping it ends it and waits for that, a second at most.
#[derive(Debug)]
pub(crate) struct ApiServer(HttpServer);

impl ApiServer {
    /// Listens, and answers from then on.
    pub(crate) fn start(
        config: ApiConfig,
        instance: Instance,
        roster: Roster,
        fleet: Arc<Fleet>,
    ) -> Result<Self, AdminError> {
        let address = config.address;
        let tls = config.tls.clone().map(Tls::new).transpose();
        let tls = tls.map_err(|error| AdminError::Start { server: NAME, source: io::Error::other(error) })?;
        let endpoints = routes::endpoints();
        let document = openapi::document(&instance.program, &endpoints, config.tokens.is_empty());
        let api = Api::new(config, instance, roster, fleet, document);
        let service = router(endpoints, api.clone()).into_make_service_with_connect_info::<Peer>();
        let greeting = Greeting { tls: tls.clone() };
        let beside = async move {
            let follow = async {
                match &tls {
                    Some(tls) => tls.follow().await,
                    None => pending().await,
                }
            };
            tokio::join!(api.roster.history().record(&api.roster), api.audit.follow(), follow);
        };
        HttpServer::start(NAME, address, greeting, service, beside).map(Self)
    }

    /// Where it listens: the port that was chosen, where the address left it open.
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address()
    }
}
