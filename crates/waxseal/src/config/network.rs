use std::fmt;
use std::net::IpAddr;

/// An IP network, `192.0.2.0/24`. Text in, network out: [`Network::parse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Parses `address/prefix`, or an address alone, which stands for itself. Bits after the
    /// prefix must be zero: `10.1.2.3/8` is more likely a slip than meant.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            // `parse` takes "+8".
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
        };
        let network = Self { address, prefix };
        // An IPv4 network in IPv6 clothes would match nothing: `contains` undresses what it is asked for.
        let plain = address.to_canonical() == address;
        (plain && prefix <= longest && network.masked(address) == Some(address)).then_some(network)
    }

    /// Is `ip` in it? An IPv4 address in IPv6 clothes (`::ffff:192.0.2.1`) is that IPv4 address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.masked(ip.to_canonical()) == Some(self.address)
    }

    /// Does it hold every address of its family?
    pub fn is_everybody(&self) -> bool {
        self.prefix == 0
    }

    /// `ip` with the bits after our prefix at zero; `None` when it is of the other family.
    fn masked(&self, ip: IpAddr) -> Option<IpAddr> {
        match (self.address, ip) {
            (IpAddr::V4(_), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0);
                Some(IpAddr::V4((ip.to_bits() & mask).into()))
            }
            (IpAddr::V6(_), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix.min(128))).unwrap_or(0);
                Some(IpAddr::V6((ip.to_bits() & mask).into()))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_network() {
        for (network, ip, expected) in [
            ("127.0.0.0/8", "127.9.9.9", true),
            ("127.0.0.0/8", "128.0.0.1", false),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::1/128", "::1", true),
            ("::/0", "2001:db8::1", true),
            ("::/0", "192.0.2.1", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
        ] {
            let parsed = Network::parse(network).unwrap();
            assert_eq!(parsed.contains(ip.parse().unwrap()), expected, "{network} {ip}");
        }
        for wrong in [
            "",
            "/8",
            "127.0.0.1/8",
            "127.0.0.0/33",
            "127.0.0.0/+8",
            "127.0.0.0/",
            "::1/129",
            "::1/64",
            "::ffff:127.0.0.0/104",
            "a/8",
        ] {
            assert_eq!(Network::parse(wrong), None, "{wrong:?}");
        }
    }
}
