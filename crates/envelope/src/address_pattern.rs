use std::fmt;

/// Which addresses a rule is for: `ana@example.com`, `*@example.com` or `*`. ASCII case does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressPattern {
    /// `*`: everybody.
    Anyone,
    /// `*@example.com`: every address of the domain, not of its subdomains.
    Domain(String),
    /// One address.
    Address(String),
}

impl AddressPattern {
    /// `None` when the text is none of the three forms.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Anyone);
        }
        if let Some(domain) = text.strip_prefix("*@") {
            return crate::Mailbox::parse(&format!("a@{domain}"))
                .ok()
                .map(|_| Self::Domain(domain.to_owned()));
        }
        let address = crate::Mailbox::parse(text).ok()?;
        (!address.local_part().contains('*')).then(|| Self::Address(text.to_owned()))
    }

    /// Is `address` (`local-part@domain`) one of them?
    pub fn matches(&self, address: &str) -> bool {
        match self {
            Self::Anyone => true,
            Self::Domain(domain) => {
                address.rsplit_once('@').is_some_and(|(_, found)| found.eq_ignore_ascii_case(domain))
            }
            Self::Address(wanted) => address.eq_ignore_ascii_case(wanted),
        }
    }
}

impl fmt::Display for AddressPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("*"),
            Self::Domain(domain) => write!(f, "*@{domain}"),
            Self::Address(address) => f.write_str(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_matches() {
        for (pattern, address, expected) in [
            ("*", "ana@example.com", true),
            ("*@example.com", "Ana@EXAMPLE.com", true),
            ("*@example.com", "ana@mail.example.com", false),
            ("*@example.com", "ana@badexample.com", false),
            ("ana@example.com", "ANA@example.com", true),
            ("ana@example.com", "anna@example.com", false),
        ] {
            let pattern = AddressPattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(address), expected, "{pattern} {address}");
        }
        for wrong in ["", "example.com", "*@", "a*@example.com", "**", "* @example.com"] {
            assert_eq!(AddressPattern::parse(wrong), None, "{wrong:?}");
        }
    }
}
