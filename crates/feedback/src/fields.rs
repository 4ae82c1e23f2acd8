use envelope::EnhancedStatusCode;

/// Field names and bodies of one block of a report, unfolded; names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, String)>);

/// A report with more blocks says no more than one with so many.
const MOST_BLOCKS: usize = 1_000;
const MOST_FIELDS: usize = 200;
/// What of a server's words is kept, in octets.
const MOST_OF_WORDS: usize = 1_000;

impl Fields {
    /// The blocks of `message/delivery-status` and its kind: fields, a blank line between each two blocks
    /// (RFC 3464 §2.1). Blank lines too many, or with blanks in them, are borne, as are lines that are no fields.
    pub(crate) fn blocks(text: &str) -> Vec<Self> {
        let mut blocks = vec![Self::default()];
        for line in text.lines() {
            let Some(last) = blocks.last_mut() else { break };
            if line.trim().is_empty() {
                if !last.0.is_empty() && blocks.len() < MOST_BLOCKS {
                    blocks.push(Self::default());
                }
            } else if line.starts_with([' ', '\t']) {
                if let Some((_, body)) = last.0.last_mut() {
                    body.push(' ');
                    body.push_str(line.trim());
                }
            } else if let Some((name, body)) = line.split_once(':')
                && last.0.len() < MOST_FIELDS
            {
                last.0.push((name.trim().to_ascii_lowercase(), body.trim().to_owned()));
            }
        }
        blocks.retain(|block| !block.0.is_empty());
        blocks
    }

    /// The first field with this name, in lower case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, body)| body.as_str())
    }

    /// Every field with this name, in lower case.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, body)| body.as_str())
    }
}

/// `bo@example.net` out of `rfc822;bo@example.net`, and out of what is sent in its place: other cases, blanks,
/// angle brackets, no type at all, xtext, `utf-8;j\x{F6}rg@example.net` (RFC 6533 §3). `None`: no mail address.
pub(crate) fn address(body: &str) -> Option<String> {
    let (kind, address) = match body.split_once(';') {
        Some((kind, address)) => (kind.trim().to_ascii_lowercase(), address),
        None => ("rfc822".to_owned(), body),
    };
    let address = address.trim();
    let address =
        address.strip_prefix('<').and_then(|a| a.split_once('>')).map_or(address, |(a, _)| a).trim();
    let address = match kind.as_str() {
        "utf-8" => unescape_unicode(address),
        "rfc822" | "local" | "unknown" | "smtp" => unescape_xtext(address),
        _ => return None,
    };
    let (local, domain) = address.rsplit_once('@')?;
    let sound = !local.is_empty()
        && !domain.is_empty()
        && address.len() <= 320
        && !domain.contains(|c: char| c.is_whitespace() || c.is_control() || "<>(),;".contains(c))
        && !local.contains(char::is_control);
    sound.then_some(address)
}

/// `+2B` is `+` (RFC 3461 §4). An address with a plus sign that was not encoded stays as it is.
fn unescape_xtext(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('+') {
        out.push_str(&rest[..at]);
        let digits = rest
            .get(at + 1..at + 3)
            .filter(|two| two.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)));
        // Only what xtext has to encode is taken for encoded: `bo+22@` is somebody's address.
        let octet = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        if let Some(octet) = octet.filter(|octet| matches!(octet, b'+' | b'=')) {
            out.push(char::from(octet));
            rest = &rest[at + 3..];
        } else {
            out.push('+');
            rest = &rest[at + 1..];
        }
    }
    out + rest
}

fn unescape_unicode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\x{") {
        out.push_str(&rest[..at]);
        let inner = &rest[at + 3..];
        let decoded = inner
            .split_once('}')
            .and_then(|(hex, after)| Some((char::from_u32(u32::from_str_radix(hex, 16).ok()?)?, after)));
        let Some((c, after)) = decoded else {
            out.push_str("\\x{");
            rest = inner;
            continue;
        };
        out.push(c);
        rest = after;
    }
    out + rest
}

/// The words of `smtp; 550 5.1.1 No such user`, on one line.
pub(crate) fn words(body: &str) -> String {
    let words = match body.split_once(';') {
        Some((kind, words)) if kind.trim().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => words,
        _ => body,
    };
    one_line(words)
}

/// Blanks for line ends and control characters, none doubled, cut at 1,000 octets.
pub(crate) fn one_line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut line = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    line.truncate(line.floor_char_boundary(MOST_OF_WORDS));
    line
}

/// The first enhanced status code in a text: `5.1.1 (bad mailbox)`, `550-5.1.1 No`, `<mx.example #5.1.1>`.
pub(crate) fn status(text: &str) -> Option<EnhancedStatusCode> {
    text.split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .map(|word| word.trim_end_matches('.'))
        .find_map(EnhancedStatusCode::parse)
}

/// The status code that says most: the field's own unless it is `x.0.0` and the words have a better one.
pub(crate) fn best_status(field: Option<&str>, words: &str) -> Option<EnhancedStatusCode> {
    let own = field.and_then(status);
    let said = status(words).or_else(|| reply_code(words));
    match (own, said) {
        (Some(own), Some(said)) if own.subject() == 0 && said.class() == own.class() => Some(said),
        (Some(own), _) => Some(own),
        (None, said) => said,
    }
}

/// `5.0.0` out of `550 No such user`.
fn reply_code(words: &str) -> Option<EnhancedStatusCode> {
    let first = words.split([' ', '-']).next()?;
    let class = first.len() == 3 && first.bytes().all(|b| b.is_ascii_digit());
    EnhancedStatusCode::new(class.then(|| first.as_bytes()[0] - b'0')?, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_all_their_dresses() {
        let cases = [
            ("rfc822;bo@example.net", Some("bo@example.net")),
            ("RFC822; <bo@example.net>", Some("bo@example.net")),
            ("bo@example.net", Some("bo@example.net")),
            ("rfc822;bo+2Bnews@example.net", Some("bo+news@example.net")),
            ("rfc822;bo+news@example.net", Some("bo+news@example.net")),
            ("rfc822;bo+22@example.net", Some("bo+22@example.net")),
            (r"utf-8;j\x{F6}rg@example.net", Some("jörg@example.net")),
            (r"utf-8;j\x{}rg@example.net", Some(r"j\x{}rg@example.net")),
            ("rfc822;\"b o\"@example.net", Some("\"b o\"@example.net")),
            ("x400;/C=US/ADMD= /", None),
            ("rfc822;postmaster", None),
            ("rfc822;", None),
            ("rfc822;a@b\u{7}", None),
            ("rfc822;a@b c", None),
        ];
        for (body, expected) in cases {
            assert_eq!(address(body).as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn status_codes_wherever_they_stand() {
        let cases = [
            (Some("5.1.1 (bad destination mailbox address)"), "", Some("5.1.1")),
            (Some("5.0.0"), "550-5.1.1 The email account", Some("5.1.1")),
            (Some("5.0.0"), "450 4.2.2 full", Some("5.0.0")),
            (Some("5.0.0"), "550 No", Some("5.0.0")),
            (Some("5.7.1"), "550 5.1.1 No", Some("5.7.1")),
            (None, "<mx.example #5.1.1 smtp;550 5.1.1 No>", Some("5.1.1")),
            (None, "421 Come later", Some("4.0.0")),
            (None, "by 192.0.2.1.", None),
            (None, "", None),
        ];
        for (field, words, expected) in cases {
            let found = best_status(field, words).map(|status| status.to_string());
            assert_eq!(found.as_deref(), expected, "{field:?} {words}");
        }
    }

    #[test]
    fn blocks_with_folds_and_blank_lines_too_many() {
        let text = "\r\nReporting-MTA: dns; mx.example\r\n \r\n\r\nFinal-Recipient: rfc822; bo@example.net\r\n\
                    Diagnostic-Code: smtp; 550-5.1.1 No\r\n\t550 5.1.1 such user\r\nnonsense\r\n\r\n";
        let blocks = Fields::blocks(text);
        assert_eq!(blocks.len(), 2);
        assert_eq!(blocks[0].get("reporting-mta"), Some("dns; mx.example"));
        assert_eq!(words(blocks[1].get("diagnostic-code").unwrap()), "550-5.1.1 No 550 5.1.1 such user");
    }
}
