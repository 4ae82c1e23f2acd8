use std::net::IpAddr;

/// An address as it may be stored: `203.0.113.0/24`, `2001:db8:1::/48`.
pub fn truncated(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            format!("{}/48", std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

/// Whether two addresses are one source, as the rules mean it: the same /24, or the same /48.
pub fn same_source(one: IpAddr, other: IpAddr) -> bool {
    match (one.to_canonical(), other.to_canonical()) {
        (IpAddr::V4(one), IpAddr::V4(other)) => one.octets()[..3] == other.octets()[..3],
        (IpAddr::V6(one), IpAddr::V6(other)) => one.segments()[..3] == other.segments()[..3],
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_their_host() {
        for (address, expected) in [
            ("203.0.113.77", "203.0.113.0/24"),
            ("::ffff:203.0.113.77", "203.0.113.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
            ("::1", "::/48"),
        ] {
            assert_eq!(truncated(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn sources() {
        for (one, other, expected) in [
            ("203.0.113.1", "203.0.113.254", true),
            ("203.0.113.1", "203.0.114.1", false),
            ("::ffff:203.0.113.1", "203.0.113.2", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", true),
            ("2001:db8:1::1", "2001:db8:2::1", false),
            ("203.0.113.1", "2001:db8::1", false),
        ] {
            assert_eq!(same_source(one.parse().unwrap(), other.parse().unwrap()), expected, "{one} {other}");
        }
    }
}
