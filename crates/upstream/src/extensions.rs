use crate::raw_reply::{RawReply, readable};

/// What the server said it can do in its reply to EHLO; nothing after HELO.
// Each is a keyword of the registry and independent of the others.
#[expect(clippy::struct_excessive_bools)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// SIZE (RFC 1870).
    pub size: SizeLimit,
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// REQUIRETLS (RFC 8689).
    pub require_tls: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status_codes: bool,
    /// The mechanisms of AUTH (RFC 4954), in capitals, in the server's order.
    pub auth: Vec<String>,
}

/// The largest message the server takes (RFC 1870 §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SizeLimit {
    /// SIZE is not offered: the parameter must not be sent.
    #[default]
    NotOffered,
    /// Offered without a number, or with 0.
    Unlimited,
    /// In octets.
    Octets(u64),
}

impl Extensions {
    /// Reads the reply to EHLO. The first line is the server's name; keywords are
    /// case-insensitive (RFC 5321 §4.1.1.1).
    pub(crate) fn from_ehlo(reply: &RawReply) -> Self {
        let mut offered = Self::default();
        for line in reply.lines.iter().skip(1) {
            let line = readable(line).to_ascii_uppercase();
            // "AUTH=LOGIN" is how servers wrote it for clients older than the standard.
            let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
            match words.next().unwrap_or_default() {
                "SIZE" => offered.size = SizeLimit::parse(words.next()),
                "PIPELINING" => offered.pipelining = true,
                "8BITMIME" => offered.eight_bit_mime = true,
                "SMTPUTF8" => offered.smtputf8 = true,
                "STARTTLS" => offered.starttls = true,
                "DSN" => offered.dsn = true,
                "REQUIRETLS" => offered.require_tls = true,
                "CHUNKING" => offered.chunking = true,
                "ENHANCEDSTATUSCODES" => offered.enhanced_status_codes = true,
                "AUTH" => {
                    for mechanism in words {
                        if !offered.auth.iter().any(|known| known == mechanism) {
                            offered.auth.push(mechanism.to_owned());
                        }
                    }
                }
                _ => {}
            }
        }
        offered
    }
}

impl SizeLimit {
    fn parse(limit: Option<&str>) -> Self {
        match limit.map(str::parse) {
            Some(Ok(octets)) if octets > 0 => Self::Octets(octets),
            // Too large for 64 bits, or not a number: no limit that we could keep.
            _ => Self::Unlimited,
        }
    }
}

#[cfg(test)]
mod tests {
    use envelope::ReplyCode;

    use super::*;

    fn ehlo(lines: &[&str]) -> Extensions {
        Extensions::from_ehlo(&RawReply {
            code: ReplyCode::new(250).unwrap(),
            lines: lines.iter().map(|line| line.as_bytes().to_vec()).collect(),
        })
    }

    #[test]
    fn keywords_in_any_case() {
        let offered = ehlo(&[
            "smtp.example.com greets you",
            "size 35882577",
            "Pipelining",
            "8BitMime",
            "SmtpUtf8",
            "StartTls",
            "dsn",
            "requiretls",
            "CHUNKING",
            "EnhancedStatusCodes",
            "auth plain LOGIN",
            "AUTH=LOGIN XOAUTH2",
            "",
            "X-UNKNOWN 1",
        ]);
        assert_eq!(
            offered,
            Extensions {
                size: SizeLimit::Octets(35_882_577),
                pipelining: true,
                eight_bit_mime: true,
                smtputf8: true,
                starttls: true,
                dsn: true,
                require_tls: true,
                chunking: true,
                enhanced_status_codes: true,
                auth: vec!["PLAIN".into(), "LOGIN".into(), "XOAUTH2".into()],
            }
        );
    }

    #[test]
    fn a_server_named_like_a_keyword_offers_nothing() {
        assert_eq!(ehlo(&["STARTTLS"]), Extensions::default());
    }

    #[test]
    fn sizes() {
        for (line, limit) in [
            ("SIZE", SizeLimit::Unlimited),
            ("SIZE 0", SizeLimit::Unlimited),
            ("SIZE x", SizeLimit::Unlimited),
            ("SIZE 99999999999999999999999", SizeLimit::Unlimited),
            ("SIZE 10", SizeLimit::Octets(10)),
        ] {
            assert_eq!(ehlo(&["h", line]).size, limit, "{line}");
        }
    }
}
