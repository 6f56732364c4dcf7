//! Who is calling: the address comes from the socket, or from a forwarded header only when the
//! peer is a configured proxy.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::{HeaderMap, request::Parts};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use schemas::{Country, events::ClickSignals};

/// More hops than any real chain of proxies has; further ones are not looked at.
const HOPS_MAX: usize = 32;

/// The networks whose word on a shopper's address, country and signals is taken.
#[derive(Debug, Clone)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// These networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether the address belongs to a trusted proxy.
    pub fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl Default for TrustedProxies {
    /// The machine itself: 127.0.0.0/8 and `::1`.
    fn default() -> Self {
        let loopback_v4 = Ipv4Net::new_assert(std::net::Ipv4Addr::new(127, 0, 0, 0), 8);
        let loopback_v6 = Ipv6Net::new_assert(std::net::Ipv6Addr::LOCALHOST, 128);
        Self(vec![loopback_v4.into(), loopback_v6.into()])
    }
}

/// What the connection and its proxies say of the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The caller's own address; `None` when it can't be told.
    pub address: Option<IpAddr>,
    /// Whether the peer is a trusted proxy.
    pub peer_trusted: bool,
    /// Country, from a trusted proxy's `CF-IPCountry`.
    pub country: Option<Country>,
    /// Data centre and anonymising proxy, from a trusted proxy's `X-Client-Signals`.
    pub signals: ClickSignals,
}

impl Client {
    /// The caller of a request that [`serve`](crate::serve) took in.
    pub fn of_parts(parts: &Parts, trusted: &TrustedProxies) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map(|ConnectInfo(socket)| socket.ip());
        Self::of_request(peer, &parts.headers, trusted)
    }

    /// The address that the caller's requests are counted under. What a trusted proxy asks for
    /// itself isn't counted.
    pub fn counted_address(&self, trusted: &TrustedProxies) -> Option<IpAddr> {
        self.address.filter(|address| !trusted.trust(*address))
    }

    /// The caller of a request: behind trusted proxies the right-most address of
    /// `X-Forwarded-For` that is not a trusted proxy's itself. What stands left of it, the caller
    /// may have made up. An entry that is no address ends the search without one.
    pub fn of_request(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        let peer = peer.map(|address| address.to_canonical());
        if !peer.is_some_and(|address| trusted.trust(address)) {
            let signals = ClickSignals::default();
            return Self {
                address: peer,
                peer_trusted: false,
                country: None,
                signals,
            };
        }
        let country_code = header(headers, "cf-ipcountry").unwrap_or_default();
        let mut signals = ClickSignals::default();
        // Cloudflare's code for the Tor network, which anonymises.
        if country_code == "T1" {
            signals = signals.with(ClickSignals::PROXY);
        }
        for name in header(headers, "x-client-signals")
            .unwrap_or_default()
            .split(',')
        {
            match name.trim() {
                "data_centre" => signals = signals.with(ClickSignals::DATA_CENTRE),
                "proxy" => signals = signals.with(ClickSignals::PROXY),
                // A newer proxy may know more signals than we do.
                _ => {}
            }
        }
        Self {
            address: forwarded_for(headers, trusted, peer),
            peer_trusted: true,
            country: Country::known(country_code),
            signals,
        }
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::trim)
}

fn forwarded_for(
    headers: &HeaderMap,
    trusted: &TrustedProxies,
    peer: Option<IpAddr>,
) -> Option<IpAddr> {
    let mut nearest = peer;
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for hop in hops.take(HOPS_MAX) {
        let address = std::str::from_utf8(hop)
            .ok()
            .and_then(|text| hop_address(text.trim()))?;
        nearest = Some(address);
        if !trusted.trust(address) {
            return nearest;
        }
    }
    nearest
}

/// An address, with or without a port.
fn hop_address(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>();
    let address = address.or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

/// The address's network, which is all of it that the log keeps readable: /24 for IPv4, /48 for
/// IPv6.
pub fn prefix(address: IpAddr) -> String {
    let network = match address {
        IpAddr::V4(address) => IpNet::from(Ipv4Net::new_assert(address, 24)),
        IpAddr::V6(address) => IpNet::from(Ipv6Net::new_assert(address, 48)),
    };
    network.trunc().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn client(peer: &str, lines: &[(&'static str, &'static str)]) -> Client {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        let networks = ["127.0.0.0/8", "::1/128", "10.0.0.0/8"];
        let networks = networks.map(|text| text.parse().expect("a network"));
        let trusted = TrustedProxies::new(networks.to_vec());
        Client::of_request(Some(address(peer)), &headers, &trusted)
    }

    fn forwarded(lines: &[&'static str]) -> Option<IpAddr> {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| ("x-forwarded-for", *line))
            .collect();
        client("127.0.0.1", &lines).address
    }

    #[test]
    fn an_untrusted_peer_speaks_for_itself_only() {
        let lines = [
            ("x-forwarded-for", "203.0.113.9"),
            ("cf-ipcountry", "IN"),
            ("x-client-signals", "proxy"),
        ];
        let expected = Client {
            address: Some(address("198.51.100.7")),
            peer_trusted: false,
            country: None,
            signals: ClickSignals::default(),
        };
        assert_eq!(client("198.51.100.7", &lines), expected);
    }

    #[test]
    fn the_right_most_untrusted_hop_is_the_client() {
        let client = Some(address("203.0.113.9"));
        assert_eq!(forwarded(&["203.0.113.9"]), client);
        assert_eq!(forwarded(&["1.2.3.4, 203.0.113.9, 10.0.0.1"]), client);
        assert_eq!(forwarded(&["1.2.3.4", "203.0.113.9,10.0.0.1"]), client);
        assert_eq!(forwarded(&["garbage, 203.0.113.9:4711"]), client);
        assert_eq!(forwarded(&["::ffff:203.0.113.9"]), client);
        assert_eq!(
            forwarded(&["[2001:db8::1]:80"]),
            Some(address("2001:db8::1"))
        );
        assert_eq!(forwarded(&["203.0.113.9, unknown"]), None);
        assert_eq!(
            forwarded(&["10.0.0.2, 10.0.0.1"]),
            Some(address("10.0.0.2"))
        );
        assert_eq!(forwarded(&[]), Some(address("127.0.0.1")));
    }

    #[test]
    fn a_trusted_proxy_tells_country_and_signals() {
        let told = client(
            "::ffff:127.0.0.1",
            &[
                ("cf-ipcountry", "in"),
                ("x-client-signals", "data_centre, new ,proxy"),
            ],
        );
        assert!(told.peer_trusted);
        assert_eq!(told.country.map(Country::letters), Some(*b"IN"));
        assert_eq!(
            told.signals,
            ClickSignals::DATA_CENTRE.with(ClickSignals::PROXY)
        );
        let tor = client("::1", &[("cf-ipcountry", "T1")]);
        assert_eq!((tor.country, tor.signals), (None, ClickSignals::PROXY));
        assert_eq!(client("::1", &[("cf-ipcountry", "XX")]).country, None);
    }

    #[test]
    fn prefixes_hide_the_host() {
        assert_eq!(prefix(address("203.0.113.9")), "203.0.113.0/24");
        assert_eq!(prefix(address("2001:db8:1:2:3::4")), "2001:db8:1::/48");
    }
}
