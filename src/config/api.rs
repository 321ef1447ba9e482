//! The API's section, made into what serves it.

use super::document::Document;
use super::key::KeyPath;
use super::raw::{ApiSection, CertificateSection, TokenSection};
use super::secret::secret;
use crate::api::{ApiConfig, ApiConfigError, NotANetwork, Token};

/// Where the API is served, and to whom; none where it is not. What is wrong with it is told to the document.
pub(super) fn api(document: &mut Document, section: &ApiSection) -> Option<ApiConfig> {
    let path = KeyPath::of(["api"]);
    let tokens = path.child("tokens");
    let (told, is_whole) = (document.faults().len(), !document.has_gone_within(&path));
    let mut config = ApiConfig::new(section.address.0);
    for host in &section.hosts {
        config = config.host(host);
    }
    for (index, text) in section.trusted_proxies.iter().enumerate() {
        match text.parse() {
            Ok(network) => config = config.trusted_proxy(network),
            Err(error) => {
                let error: NotANetwork = error;
                let key = path.child("trusted_proxies");
                document.fault(&key, &[], format!("has `{text}` as its {}. one, which is {error}", index + 1));
            }
        }
    }
    if let Some(CertificateSection { certificate, key }) = &section.tls {
        config = config.tls(certificate, key);
    }
    config = section.masked_fields.iter().fold(config, ApiConfig::mask);
    for (name, section) in &section.tokens {
        config = match token(document, &tokens.child(name.as_str()), name, section) {
            Some(token) => config.token(token),
            None => config,
        };
    }
    // What is wrong with the whole may only follow from that.
    let is_whole = is_whole && document.faults().len() == told;
    for error in config.check().err().into_iter().flatten().filter(|_| section.enabled) {
        let key = match &error {
            ApiConfigError::Open(_) if !is_whole => continue,
            ApiConfigError::Open(_) => path.child("address"),
            ApiConfigError::Certificate(_) => path.child("tls"),
            ApiConfigError::Short(name) | ApiConfigError::Shared(_, name) => tokens.child(name.as_str()),
        };
        document.fault(&key, &[], error.to_string());
    }
    section.enabled.then_some(config)
}

fn token(document: &mut Document, path: &KeyPath, name: &str, section: &TokenSection) -> Option<Token> {
    let told = document.faults().len();
    let text = secret(document, path, "token", section.token.as_ref(), section.token_file.as_deref());
    if section.role.is_none() {
        document.fault(&path.child("role"), std::slice::from_ref(path), "is missing, allowed: viewer, operator, admin");
    }
    if text.is_none() && document.faults().len() == told {
        document.fault(&path.child("token"), std::slice::from_ref(path), "is missing: set it, or `token_file`");
    }
    Some(Token::new(name, section.role?, text?))
}
