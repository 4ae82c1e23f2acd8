use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;

use crate::network::Network;

/// Where a request came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visitor {
    /// The other end of the connection, or what a proxy announced it to be (`proxy_header`); `None` if it
    /// announced nobody.
    pub(crate) peer: Option<IpAddr>,
    /// Whether the connection came over TLS; `None` if nobody said.
    pub(crate) tls: Option<bool>,
}

/// The client's address: the connection's, or what trusted proxies say.
///
/// The addresses in `X-Forwarded-For` are walked from the right, where our own proxies wrote, and each is
/// believed only because the one to its right is trusted; the first that is not is the client. What stands
/// further left anybody can have written. If all are trusted it is the leftmost.
///
/// `None` if a trusted proxy wrote something that is no address: then the proxy's own would only mislead. Nor
/// is there anybody to believe when the connection's own end is not known.
pub(crate) fn client_address(
    peer: Option<IpAddr>,
    headers: &HeaderMap,
    trusted: &[Network],
) -> Option<IpAddr> {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut address = peer?.to_canonical();
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let mut entries = lines.flat_map(|line| line.as_bytes().rsplit(|octet| *octet == b','));
    while is_trusted(address) {
        match entries.find_map(|entry| Some(entry.trim_ascii()).filter(|entry| !entry.is_empty())) {
            None => break,
            Some(entry) => address = parse(entry)?,
        }
    }
    Some(address)
}

/// Did the client come over https? `None` if nobody who would know says so.
pub(crate) fn client_https(
    peer: Option<IpAddr>,
    tls: Option<bool>,
    headers: &HeaderMap,
    trusted: &[Network],
) -> Option<bool> {
    if tls == Some(true) {
        return tls;
    }
    if !peer.is_some_and(|peer| trusted.iter().any(|network| network.contains(peer))) {
        return tls;
    }
    match headers.get("x-forwarded-proto")?.as_bytes() {
        b"https" => Some(true),
        b"http" => Some(false),
        _ => None,
    }
}

/// `192.0.2.1`, `2001:db8::1`, either with a port, the latter in brackets or not.
fn parse(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(name: &'static str, lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    #[test]
    fn walks_from_the_right_and_believes_only_proxies() {
        let trusted: Vec<Network> = ["10.0.0.0/8", "::1"].map(|text| text.parse().unwrap()).into();
        let rows: [(&str, &[&str], Option<&str>, &str); 16] = [
            ("203.0.113.9", &[], Some("203.0.113.9"), "no proxy"),
            ("203.0.113.9", &["198.51.100.7"], Some("203.0.113.9"), "a stranger's header"),
            ("10.0.0.1", &[], Some("10.0.0.1"), "a proxy that says nothing"),
            ("10.0.0.1", &["198.51.100.7"], Some("198.51.100.7"), "one proxy"),
            ("::1", &["2001:db8::7"], Some("2001:db8::7"), "IPv6"),
            ("::ffff:10.0.0.1", &["::ffff:198.51.100.7"], Some("198.51.100.7"), "IPv4 in IPv6 clothes"),
            ("10.0.0.1", &["192.0.2.66, 198.51.100.7, 10.0.0.2"], Some("198.51.100.7"), "forged on the left"),
            ("10.0.0.1", &["10.9.9.9, 198.51.100.7"], Some("198.51.100.7"), "forged as one of us"),
            ("10.0.0.1", &["198.51.100.7", "10.0.0.2"], Some("198.51.100.7"), "two fields"),
            ("10.0.0.1", &["192.0.2.66", "198.51.100.7"], Some("198.51.100.7"), "two fields, forged"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], Some("10.0.0.3"), "all ours"),
            ("10.0.0.1", &["198.51.100.7:4711"], Some("198.51.100.7"), "with a port"),
            ("10.0.0.1", &["[2001:db8::7]:4711, [::1]"], Some("2001:db8::7"), "in brackets"),
            ("10.0.0.1", &["198.51.100.7, unknown"], None, "no address where a proxy wrote"),
            ("10.0.0.1", &["unknown, 198.51.100.7"], Some("198.51.100.7"), "no address where nobody looks"),
            ("10.0.0.1", &["198.51.100.7,, ,"], Some("198.51.100.7"), "empty entries"),
        ];
        for (peer, lines, expected, name) in rows {
            let peer = Some(peer.parse().unwrap());
            let found = client_address(peer, &headers("x-forwarded-for", lines), &trusted);
            assert_eq!(found, expected.map(|text| text.parse().unwrap()), "{name}");
        }
    }

    #[test]
    fn believes_only_proxies_about_https() {
        let trusted: Vec<Network> = vec!["10.0.0.0/8".parse().unwrap()];
        let rows: [(&str, bool, &[&str], Option<bool>); 6] = [
            ("203.0.113.9", true, &["http"], Some(true)),
            ("203.0.113.9", false, &["https"], Some(false)),
            ("10.0.0.1", false, &["https"], Some(true)),
            ("10.0.0.1", false, &["http"], Some(false)),
            ("10.0.0.1", false, &["https, http"], None),
            ("10.0.0.1", false, &[], None),
        ];
        for (peer, tls, lines, expected) in rows {
            let headers = headers("x-forwarded-proto", lines);
            assert_eq!(
                client_https(Some(peer.parse().unwrap()), Some(tls), &headers, &trusted),
                expected,
                "{peer} {lines:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_a_stranger_is_where_he_is(octets in prop::collection::vec(any::<u8>(), 0..60)) {
            let Ok(value) = HeaderValue::from_bytes(&octets) else { return Ok(()) };
            let headers = HeaderMap::from_iter([("x-forwarded-for".parse().unwrap(), value)]);
            let peer: Option<IpAddr> = Some("203.0.113.9".parse().unwrap());
            let (proxy, here) = ("10.0.0.0/8".parse().unwrap(), "203.0.113.0/24".parse().unwrap());
            prop_assert_eq!(client_address(peer, &headers, &[proxy]), peer);
            prop_assert_eq!(client_address(None, &headers, &[proxy]), None);
            // From a proxy it may be anything, and no panic.
            let _ = client_address(peer, &headers, &[here]);
        }

        #[test]
        fn what_stands_left_of_the_client_does_not_matter(left in "[ -~]{0,40}", client in any::<u32>()) {
            let client = IpAddr::V4((client | 0xc000_0000).into());
            let line = format!("{left}, {client}");
            let trusted = ["10.0.0.0/8".parse().unwrap()];
            let peer = Some("10.0.0.1".parse().unwrap());
            let found = client_address(peer, &headers("x-forwarded-for", &[&line]), &trusted);
            prop_assert_eq!(found, Some(client));
        }
    }
}
