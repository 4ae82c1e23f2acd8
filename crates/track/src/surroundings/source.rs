use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The network that a hit came from, as rules mean "the same source": a /24 of IPv4, a /48 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source(IpAddr);

impl Source {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                Ipv4Addr::new(a, b, c, 0).into()
            }
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments();
                Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
            }
        })
    }

    /// Of an address as it is stored: `203.0.113.0/24`, `203.0.113.77`.
    pub(crate) fn read(stored: &str) -> Option<Self> {
        stored.split('/').next()?.parse().ok().map(Self::of)
    }

    /// The network's first address, which says no more than the network.
    pub(crate) fn first(self) -> IpAddr {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_the_rules_mean() {
        for (one, other) in [
            ("203.0.113.1", "203.0.113.254"),
            ("203.0.113.1", "203.0.114.1"),
            ("::ffff:203.0.113.1", "203.0.113.2"),
            ("2001:db8:1:2::1", "2001:db8:1:3::1"),
            ("2001:db8:1::1", "2001:db8:2::1"),
        ] {
            let (one, other): (IpAddr, IpAddr) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(
                Source::of(one) == Source::of(other),
                verdict::same_source(one, other),
                "{one} {other}"
            );
            assert_eq!(Source::read(&verdict::truncated(one)), Some(Source::of(one)));
            assert_eq!(Source::read(&one.to_string()), Some(Source::of(one)));
        }
        assert_eq!(Source::read("somewhere"), None);
    }
}
