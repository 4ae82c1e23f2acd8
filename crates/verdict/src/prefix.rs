use std::net::IpAddr;

/// Addresses from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Prefix {
    V4(u32, u32),
    V6(u128, u128),
}

/// Networks for documentation (RFC 5737, RFC 3849): nobody's, though the list of Vultr has them.
const EXAMPLES: [Prefix; 4] = [
    Prefix::V4(0xC000_0200, 0xC000_02FF),
    Prefix::V4(0xC633_6400, 0xC633_64FF),
    Prefix::V4(0xCB00_7100, 0xCB00_71FF),
    Prefix::V6(0x2001_0DB8 << 96, (0x2001_0DB9 << 96) - 1),
];

impl Prefix {
    pub(crate) fn is_for_examples(self) -> bool {
        EXAMPLES.iter().any(|example| match (*example, self) {
            (Self::V4(from, to), Self::V4(first, last)) => from <= first && last <= to,
            (Self::V6(from, to), Self::V6(first, last)) => from <= first && last <= to,
            _ => false,
        })
    }

    /// Has it more addresses than so many of IPv4, or so many of IPv6?
    pub(crate) fn is_wider_than(self, (v4, v6): (u32, u128)) -> bool {
        match self {
            Self::V4(first, last) => last - first >= v4,
            Self::V6(first, last) => last - first >= v6,
        }
    }

    pub(crate) fn holds(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4(first, last), IpAddr::V4(v4)) => (first..=last).contains(&v4.to_bits()),
            (Self::V6(first, last), IpAddr::V6(v6)) => (first..=last).contains(&v6.to_bits()),
            _ => false,
        }
    }

    /// `192.0.2.0/24`, `2001:db8::/32` or an address alone. Bits under the mask are ignored.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
            None => (text, None),
        };
        match address.parse().ok()? {
            IpAddr::V4(v4) => {
                let host_bits = 32_u32.checked_sub(length.unwrap_or(32))?;
                let host = u32::MAX.checked_shr(32 - host_bits).unwrap_or(0);
                let first = v4.to_bits() & !host;
                Some(Self::V4(first, first | host))
            }
            IpAddr::V6(v6) => {
                let host_bits = 128_u32.checked_sub(length.unwrap_or(128))?;
                let host = u128::MAX.checked_shr(128 - host_bits).unwrap_or(0);
                let first = v6.to_bits() & !host;
                Some(Self::V6(first, first | host))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        for (text, expected) in [
            ("192.0.2.7/24", Some(Prefix::V4(0xC000_0200, 0xC000_02FF))),
            ("192.0.2.7", Some(Prefix::V4(0xC000_0207, 0xC000_0207))),
            ("0.0.0.0/0", Some(Prefix::V4(0, u32::MAX))),
            ("::/0", Some(Prefix::V6(0, u128::MAX))),
            ("2001:db8::1/128", Some(Prefix::V6(0x2001_0db8 << 96 | 1, 0x2001_0db8 << 96 | 1))),
            ("192.0.2.0/33", None),
            ("2001:db8::/129", None),
            ("192.0.2.0/", None),
            ("192.0.2/24", None),
            ("", None),
        ] {
            assert_eq!(Prefix::parse(text), expected, "{text}");
        }
    }
}
