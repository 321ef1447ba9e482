//! The API of a running process, asked over HTTP.

use std::env;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::StatusCode;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::ReadFile;
use super::cluster::File;
use super::failure::Failure;
use crate::api::DEFAULT_ADDRESS;
pub(super) use crate::api::encoded;
use crate::payload::harmless;

/// Where the token stands, where no file has it.
const TOKEN: &str = "DAEMONRY_TOKEN";
/// What to look at where TLS was not agreed on.
const GREETING: &str = "is it served over TLS, with a certificate for this name, by an authority of `--ca-file`?";
/// How long an answer may take: a seek waits for its commit.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug, PartialEq, Eq, Args)]
pub(super) struct ApiArgs {
    /// Where the API is, as in `https://shop.example.org`; by default `http://127.0.0.1:9466`
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    api: Option<String>,
    /// The configuration file of the program, which says where it is
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets a key over file and environment; can be repeated
    #[arg(long, value_name = "KEY=VALUE", requires = "config")]
    set: Vec<String>,
    /// A file with the token to show; else it is taken from the variable `DAEMONRY_TOKEN`, if that is set
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A file with the certificates of the authorities to trust, in PEM; by default those that browsers do
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// See the module.
pub(super) struct Agent {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
}

impl ApiArgs {
    pub(super) fn agent(&self, read: &ReadFile<'_>) -> Result<Agent, Failure> {
        let base = match (&self.api, self.config.clone()) {
            (Some(url), _) if url.starts_with("http://") || url.starts_with("https://") => {
                url.trim_end_matches('/').to_owned()
            }
            (Some(_), _) => return Err(Failure::usage("`--api` must begin with `http://` or `https://`")),
            (None, Some(path)) => {
                let deployment = read(&File { path, set: self.set.clone() })?;
                let api = deployment.api.ok_or_else(|| {
                    Failure::usage("the file serves no API: set `api: {enabled: true}` there, and restart the program")
                })?;
                format!("{}://{}", if api.certificate.is_some() { "https" } else { "http" }, reachable(api.address))
            }
            (None, None) => format!("http://{DEFAULT_ADDRESS}"),
        };
        let token = match &self.token_file {
            Some(file) => Some(fs::read_to_string(file).map_err(|error| {
                Failure::usage(format!("the token of `{}` can't be read: {error}", file.display()))
            })?),
            None => env::var(TOKEN).ok(),
        };
        let token = token.map(|token| token.trim().to_owned());
        let settings = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false);
        let settings = match &self.ca_file {
            Some(file) => settings.tls_config(TlsConfig::builder().root_certs(authorities(file)?).build()),
            None => settings,
        };
        Ok(Agent { agent: settings.build().into(), base, token })
    }
}

/// The certificates of a file.
fn authorities(file: &Path) -> Result<RootCerts, Failure> {
    let refused = |why: String| Failure::usage(format!("no authorities in `{}`: {why}", file.display()));
    let text = fs::read(file).map_err(|error| refused(error.to_string()))?;
    let items = parse_pem(&text).collect::<Result<Vec<_>, _>>().map_err(|error| refused(error.to_string()))?;
    let certificates = items.into_iter().filter_map(|item| match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<_> = certificates.collect();
    if certificates.is_empty() {
        return Err(refused("it holds no certificate in PEM".to_owned()));
    }
    Ok(RootCerts::from(certificates))
}

/// Where what listens there is reached from here.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

impl Agent {
    /// Asks for what is there.
    pub(super) fn get<R: DeserializeOwned>(&self, path: &str) -> Result<R, Failure> {
        let request = self.shown(self.agent.get(format!("{}{path}", self.base)));
        self.answer(request.call())
    }

    /// The same of what older versions don't tell; `None` where this process is of one.
    pub(super) fn get_if_told<R: DeserializeOwned>(&self, path: &str) -> Result<Option<R>, Failure> {
        let request = self.shown(self.agent.get(format!("{}{path}", self.base)));
        let answer = request.call();
        // What can be done there can't be asked for there.
        if answer.as_ref().is_ok_and(|answer| answer.status() == StatusCode::METHOD_NOT_ALLOWED) {
            return Ok(None);
        }
        self.answer(answer).map(Some)
    }

    /// Has something done.
    pub(super) fn post<R: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<R, Failure> {
        let request = self.shown(self.agent.post(format!("{}{path}", self.base)));
        self.answer(request.send_json(body))
    }

    /// The request with the token, if there is one.
    fn shown<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    fn answer<R: DeserializeOwned>(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<R, Failure> {
        let base = &self.base;
        let mut answer = answer.map_err(|error| {
            let what = match &error {
                ureq::Error::Tls(_) | ureq::Error::Rustls(_) => GREETING,
                // So an error of TLS comes out of a read.
                ureq::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => GREETING,
                _ => "does the program run there, with `api: {enabled: true}`?",
            };
            Failure::new(format!("no API answers at {base}: {error}: {what}"))
        })?;
        let status = answer.status();
        if status.is_success() {
            let read = answer.body_mut().read_json();
            return read
                .map_err(|error| Failure::new(format!("{base} has not answered as this version does: {error}")));
        }
        let problem: Option<Value> = answer.body_mut().read_json().ok();
        let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str()).map(harmless);
        let detail = detail.unwrap_or_else(|| format!("{base} answers {status}"));
        // What can't be meant is told from what can't be done.
        Err(if status.as_u16() == 400 { Failure::Usage(detail) } else { Failure::Failed(detail) })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn names_can_not_lead_elsewhere() {
        assert_eq!(encoded("orders-v2.1"), "orders-v2.1");
        assert_eq!(encoded("a/../b?c#d é"), "a%2F..%2Fb%3Fc%23d%20%C3%A9");
    }

    #[test]
    fn what_an_older_process_does_not_tell_is_no_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let older = thread::spawn(move || {
            for (status, body) in
                [("405 Method Not Allowed", "{}"), ("404 Not Found", r#"{"detail": "no `order`"}"#), ("200 OK", "7")]
            {
                let (mut stream, _) = listener.accept().expect("a connection");
                let mut read = BufReader::new(stream.try_clone().expect("another handle"));
                let mut line = String::new();
                while read.read_line(&mut line).expect("a request") > 2 {
                    line.clear();
                }
                let length = body.len();
                write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
                    .expect("it is heard");
            }
        });
        let args = ApiArgs { api: Some(url), config: None, set: Vec::new(), token_file: None, ca_file: None };
        let agent = args.agent(&|_| unreachable!("there is no file")).expect("it can work");
        assert!(matches!(agent.get_if_told::<u32>("/seek"), Ok(None)));
        assert!(matches!(agent.get_if_told::<u32>("/seek"), Err(Failure::Failed(why)) if why == "no `order`"));
        assert!(matches!(agent.get_if_told::<u32>("/seek"), Ok(Some(7))));
        older.join().expect("it has not panicked");
    }

    #[test]
    fn what_listens_everywhere_is_reached_on_loopback() {
        let reached = |address: &str| reachable(address.parse().expect("an address")).to_string();
        assert_eq!(reached("0.0.0.0:9466"), "127.0.0.1:9466");
        assert_eq!(reached("[::]:9466"), "[::1]:9466");
        assert_eq!(reached("10.0.0.7:9466"), "10.0.0.7:9466");
    }
}
