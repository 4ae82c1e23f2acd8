use std::fmt;

use envelope::Mailbox;

/// Which addresses a rule is for. ASCII case does not count. `Display` writes it as the file does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressPattern {
    /// `*`: everybody.
    Anyone,
    /// `*@example.com`: every address of the domain, not of its subdomains.
    Domain(String),
    /// One address.
    Address(Mailbox),
}

impl AddressPattern {
    /// `None` when the text is none of the three forms.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Anyone);
        }
        if let Some(domain) = text.strip_prefix("*@") {
            return Mailbox::parse(&format!("a@{domain}")).ok().map(|a| Self::Domain(a.domain().to_owned()));
        }
        let address = Mailbox::parse(text).ok()?;
        (!address.local_part().contains('*')).then_some(Self::Address(address))
    }

    /// Does it stand for every address that `other` stands for?
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Anyone, _) => true,
            (_, Self::Anyone) | (Self::Address(_), Self::Domain(_)) => false,
            (Self::Domain(domain), Self::Domain(other)) => domain.eq_ignore_ascii_case(other),
            (Self::Domain(domain), Self::Address(other)) => domain.eq_ignore_ascii_case(other.domain()),
            (Self::Address(address), Self::Address(other)) => address.same_mailbox(other),
        }
    }
}

impl fmt::Display for AddressPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("*"),
            Self::Domain(domain) => write!(f, "*@{domain}"),
            Self::Address(address) => f.write_str(address.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_pattern_covers_which() {
        for (one, other, expected) in [
            ("*", "ana@example.com", true),
            ("*", "*", true),
            ("*@example.com", "*", false),
            ("*@example.com", "*@EXAMPLE.com", true),
            ("*@example.com", "Ana@Example.com", true),
            ("*@example.com", "ana@mail.example.com", false),
            ("ana@example.com", "*@example.com", false),
            ("ana@example.com", "ANA@example.com", true),
        ] {
            let pattern = |text| AddressPattern::parse(text).unwrap();
            assert_eq!(pattern(one).covers(&pattern(other)), expected, "{one} {other}");
            assert_eq!(pattern(one).to_string(), one);
        }
        for wrong in ["", "example.com", "*@", "a*@example.com", "**", "* @example.com", "@example.com"] {
            assert_eq!(AddressPattern::parse(wrong), None, "{wrong:?}");
        }
    }
}
