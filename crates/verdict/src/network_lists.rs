use std::net::IpAddr;

/// Lists of addresses by owner, as files hold them: a prefix a line.
///
/// They age, so an operator can bring newer ones; a list that is missing makes verdicts less certain,
/// never wrong.
#[derive(Clone, Debug, Default)]
pub struct NetworkLists {
    lists: Vec<(String, Vec<Prefix>)>,
}

/// Addresses from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    V4(u32, u32),
    V6(u128, u128),
}

/// A line of a list is not a prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: \"{text}\" is not an address or a prefix")]
pub struct NetworkListError {
    /// Counted from 1.
    pub line: usize,
    /// What stands there.
    pub text: String,
}

macro_rules! built_in {
    ($($name:literal: $($family:literal)+;)+) => {
        &[$(($name, concat!($(include_str!(concat!(
            "../../../config/networks/", $name, ".", $family, "_merged.txt"
        ))),+))),+]
    };
}

/// `config/networks/`: CC0, with its date in the README there.
const BUILT_IN: &[(&str, &str)] = built_in! {
    "amazon": "ipv4" "ipv6";
    "apple-proxy": "ipv4" "ipv6";
    "digitalocean": "ipv4" "ipv6";
    "google": "ipv4" "ipv6";
    "linode": "ipv4" "ipv6";
    "microsoft": "ipv4" "ipv6";
    "oracle": "ipv4";
    "vultr": "ipv4" "ipv6";
};

impl NetworkLists {
    /// The lists this version was built with.
    pub fn builtin() -> Self {
        let mut lists = Self::default();
        for (name, text) in BUILT_IN {
            // A test reads each; a line that fails here would only make verdicts less certain.
            let prefixes = text.lines().filter_map(Prefix::parse).filter(|prefix| !prefix.is_for_examples());
            let prefixes = prefixes.collect();
            lists.lists.push(((*name).to_owned(), prefixes));
        }
        lists
    }

    /// The names a rules file may use.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// Adds a list, or replaces the one of that name. Empty lines and lines that begin with `#` are skipped.
    pub fn put(&mut self, name: &str, text: &str) -> Result<(), NetworkListError> {
        let mut prefixes = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some(prefix) = Prefix::parse(line) else {
                return Err(NetworkListError { line: at + 1, text: line.chars().take(60).collect() });
            };
            if !prefix.is_for_examples() {
                prefixes.push(prefix);
            }
        }
        self.lists.retain(|(known, _)| known != name);
        self.lists.push((name.to_owned(), prefixes));
        Ok(())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&[Prefix]> {
        self.lists.iter().find(|(known, _)| known == name).map(|(_, prefixes)| prefixes.as_slice())
    }
}

/// Networks for documentation (RFC 5737, RFC 3849): nobody's, though the list of Vultr has them.
const EXAMPLES: [Prefix; 4] = [
    Prefix::V4(0xC000_0200, 0xC000_02FF),
    Prefix::V4(0xC633_6400, 0xC633_64FF),
    Prefix::V4(0xCB00_7100, 0xCB00_71FF),
    Prefix::V6(0x2001_0DB8 << 96, (0x2001_0DB9 << 96) - 1),
];

impl Prefix {
    fn is_for_examples(self) -> bool {
        EXAMPLES.iter().any(|example| match (*example, self) {
            (Self::V4(from, to), Self::V4(first, last)) => from <= first && last <= to,
            (Self::V6(from, to), Self::V6(first, last)) => from <= first && last <= to,
            _ => false,
        })
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

    #[test]
    fn every_line_of_the_built_in_lists_is_a_prefix() {
        let lists = NetworkLists::builtin();
        for (name, text) in BUILT_IN {
            let examples = if *name == "vultr" { EXAMPLES.len() } else { 0 };
            assert_eq!(lists.get(name).unwrap().len() + examples, text.lines().count(), "{name}");
            assert!(text.ends_with('\n'), "{name}: concatenated files would run together");
        }
    }

    #[test]
    fn a_bad_line_is_named() {
        let mut lists = NetworkLists::default();
        let error = lists.put("mine", "# mine\n192.0.2.0/24\n\nnonsense\n").unwrap_err();
        assert_eq!(error.to_string(), "line 4: \"nonsense\" is not an address or a prefix");
        assert!(lists.get("mine").is_none());
        lists.put("mine", "10.0.0.0/8\n10.0.0.0/9").unwrap();
        lists.put("mine", "192.0.2.0/25\n2001:db8:1::/48\n192.0.0.0/16").unwrap();
        assert_eq!(lists.get("mine").unwrap(), [Prefix::V4(0xC000_0000, 0xC000_FFFF)]);
    }
}
