//! Proxies: who asks where others ask for them.
//!
//! What a header says of where a request is from is anybody's to write, so it is believed of those alone who are named: from the one that is connected
//! back to the first one that is none of them. The invariant: nobody can have themselves taken for somebody else by what they send, but through
//! a proxy that is trusted and lets it pass; and who sends headers that contradict each other is taken for the proxy.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::http::HeaderMap;

/// A network: an address, and how many of its first bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text that is no [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no network: an address is one, as in `10.0.0.7`, or one with how many of its bits count, as in `10.0.0.0/8`")]
pub struct NotANetwork;

impl Network {
    /// Whether an address is in it. IPv4 within IPv6 is IPv4.
    fn has(self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(of), IpAddr::V4(one)) => shifted(u128::from(of.to_bits() ^ one.to_bits()), 32, self.bits),
            (IpAddr::V6(of), IpAddr::V6(one)) => shifted(of.to_bits() ^ one.to_bits(), 128, self.bits),
            _ => false,
        }
    }
}

/// Whether none of the first bits is set.
fn shifted(differ: u128, width: u32, bits: u8) -> bool {
    differ.checked_shr(width - u32::from(bits)).unwrap_or(0) == 0
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let (address, width) = match address.to_canonical() {
            address @ IpAddr::V4(_) => (address, 32),
            address @ IpAddr::V6(_) => (address, 128),
        };
        let bits = bits.map_or(Ok(width), |bits| bits.parse().map_err(|_| NotANetwork))?;
        if bits <= width { Ok(Self { address, bits }) } else { Err(NotANetwork) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// Those that are trusted.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxies(Vec<Network>);

impl Proxies {
    pub(super) fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.has(address))
    }

    /// Where a request is from that has come over this connection. Without a port where a proxy has told of it.
    pub(super) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        if !self.trusts(peer.ip()) {
            return peer;
        }
        let named = [named(headers, "x-forwarded-for", |text| text), named(headers, "forwarded", of_forwarded)];
        let clients: Vec<IpAddr> =
            named.iter().filter(|hops| !hops.is_empty()).map(|hops| self.first(peer, hops)).collect();
        match clients.as_slice() {
            // A proxy that writes the one lets the other pass, whoever has written it.
            [one, other] if one != other => peer,
            [one, ..] if *one != peer.ip() => SocketAddr::new(*one, 0),
            _ => peer,
        }
    }

    /// The last of these that is none of the proxies. Behind what is no address nobody is known.
    fn first(&self, peer: SocketAddr, hops: &[Option<IpAddr>]) -> IpAddr {
        let mut at = peer.ip();
        for hop in hops.iter().rev() {
            let Some(hop) = *hop else { return at };
            at = hop.to_canonical();
            if !self.trusts(at) {
                break;
            }
        }
        at
    }
}

/// What a header has, in its order: who each proxy says that it was asked by.
fn named(headers: &HeaderMap, name: &str, of: impl Fn(&str) -> &str) -> Vec<Option<IpAddr>> {
    let lines = headers.get_all(name).into_iter().map(|line| line.to_str().unwrap_or_default());
    lines.flat_map(|line| parts(line, ',')).map(|hop| address(of(hop.trim()))).collect()
}

/// The `for` of an element of `Forwarded`. Of two nobody knows which one the proxy has written.
fn of_forwarded(element: &str) -> &str {
    let pairs = parts(element, ';').into_iter().filter_map(|pair| pair.trim().split_once('='));
    let mut named = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    match (named.next(), named.next()) {
        (Some((_, value)), None) => value,
        _ => "",
    }
}

/// What stands between these separators, but for those within quotes: what a client has sent stands in there. With a quote that doesn't end, nothing.
fn parts(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut from, mut is_quoted, mut is_escaped) = (Vec::new(), 0, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if letter == separator && !is_quoted => {
                parts.push(&text[from..at]);
                from = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    if is_quoted {
        return vec![""];
    }
    parts.push(&text[from..]);
    parts
}

/// An address, as proxies write it: in quotes, with brackets or a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = || text.trim_start_matches('[').trim_end_matches(']').parse().ok();
    bare().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(networks: &[&str]) -> Proxies {
        Proxies::new(networks.iter().map(|text| text.parse().expect("a network")).collect())
    }

    /// Who asks over a connection from there, with these headers.
    fn client(proxies: &Proxies, peer: &str, lines: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("a header's value"));
        }
        let peer = SocketAddr::new(peer.parse().expect("an address"), 4711);
        proxies.client(peer, &headers).ip().to_string()
    }

    const XFF: &str = "x-forwarded-for";

    #[test]
    fn headers_are_believed_of_the_proxies_alone() {
        let trusted = proxies(&["10.0.0.0/8", "fd00::/8"]);
        assert_eq!(client(&trusted, "192.0.2.1", &[(XFF, "198.51.100.7")]), "192.0.2.1", "whoever says so");
        assert_eq!(client(&trusted, "10.1.2.3", &[(XFF, "198.51.100.7")]), "198.51.100.7");
        assert_eq!(client(&trusted, "::ffff:10.1.2.3", &[(XFF, "198.51.100.7")]), "198.51.100.7");
        assert_eq!(client(&trusted, "fd00::1", &[(XFF, "2001:db8::1")]), "2001:db8::1");
        assert_eq!(client(&trusted, "10.1.2.3", &[]), "10.1.2.3");
        assert_eq!(client(&Proxies::default(), "10.1.2.3", &[(XFF, "198.51.100.7")]), "10.1.2.3");
    }

    #[test]
    fn what_somebody_has_written_before_the_proxies_is_not_believed() {
        let trusted = proxies(&["10.0.0.0/8"]);
        let through = |lines: &[(&'static str, &str)]| client(&trusted, "10.0.0.1", lines);
        assert_eq!(through(&[(XFF, "127.0.0.1, 198.51.100.7, 10.0.0.2")]), "198.51.100.7");
        assert_eq!(through(&[(XFF, "127.0.0.1"), (XFF, "198.51.100.7")]), "198.51.100.7", "lines are in their order");
        assert_eq!(through(&[(XFF, "198.51.100.7, unknown")]), "10.0.0.1");
        assert_eq!(through(&[(XFF, "unknown, 10.0.0.2")]), "10.0.0.2");
        assert_eq!(through(&[(XFF, "10.0.0.3, 10.0.0.2")]), "10.0.0.3", "one of the proxies asks by itself");
        assert_eq!(through(&[(XFF, "198.51.100.7"), ("forwarded", "for=203.0.113.9")]), "10.0.0.1");
        assert_eq!(through(&[(XFF, "198.51.100.7"), ("forwarded", "for=198.51.100.7;proto=https")]), "198.51.100.7");
    }

    #[test]
    fn every_way_to_write_an_address_is_read() {
        let trusted = proxies(&["10.0.0.1"]);
        for (written, read) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("proto=https; for=\"192.0.2.60:80\"", "192.0.2.60"),
            ("for=_hidden, for=192.0.2.61", "192.0.2.61"),
            ("for=unknown", "10.0.0.1"),
            ("proto=https", "10.0.0.1"),
            // What a client has sent, in the words of a proxy.
            ("host=\"x;for=203.0.113.9\";for=192.0.2.62", "192.0.2.62"),
            ("for=192.0.2.63;host=\"x, for=203.0.113.9\"", "192.0.2.63"),
            ("host=\"x\\\", for=203.0.113.9\";for=192.0.2.64", "192.0.2.64"),
            ("for=192.0.2.65;for=203.0.113.9", "10.0.0.1"),
            ("for=192.0.2.66;host=\"x, for=203.0.113.9", "10.0.0.1"),
        ] {
            assert_eq!(client(&trusted, "10.0.0.1", &[("forwarded", written)]), read, "{written}");
        }
        for wrong in ["", "10.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0.0/", "example.org", "10.0.0.0/-1"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
        assert!(proxies(&["0.0.0.0/0"]).trusts("192.0.2.1".parse().expect("an address")));
        assert!(proxies(&["::/0"]).trusts("2001:db8::1".parse().expect("an address")));
        assert!(!proxies(&["10.0.0.0/9"]).trusts("10.128.0.1".parse().expect("an address")));
    }
}
