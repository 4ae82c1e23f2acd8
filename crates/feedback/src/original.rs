use envelope::RelayId;
use mail_parser::{Address, HeaderName, MessageParser, PartType};

/// What came back of the message a report is about. All of it is a claim of whoever sent the report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Original {
    /// Its `Message-ID`, without angle brackets.
    pub message_id: Option<String>,
    /// Our ids, from the `Received` fields of a Waxseal on its way; the last hop first.
    pub relay_ids: Vec<RelayId>,
    /// The addresses in its `To`, `Cc` and `Bcc`; at most 100.
    pub to: Vec<String>,
    /// What may be our tokens in URLs of its text; at most 100. Whoever has the keys can tell.
    pub tokens: Vec<String>,
}

const MOST: usize = 100;
const MOST_OF_AN_ID: usize = 998;
/// Tokens are in the tens; a text is not searched for them beyond this.
const MOST_OF_TEXT: usize = 4 << 20;
const SHORTEST_TOKEN: usize = 40;
const LONGEST_TOKEN: usize = 4_000;

impl Original {
    /// From the octets that came back: a whole message, a header section, or either cut short.
    pub(crate) fn read(octets: &[u8]) -> Self {
        let Some(message) = MessageParser::new().parse(octets) else { return Self::default() };
        let message_id = message.message_id().and_then(sound_id);
        let mut original = Self { message_id, ..Self::default() };
        let field = |name: HeaderName<'static>| mime::field_bodies(octets, name.as_str());
        for received in field(HeaderName::Received) {
            original.relay_ids.extend(relay_id(&received));
        }
        for addresses in [message.to(), message.cc(), message.bcc()].into_iter().flatten() {
            original.to.extend(each(addresses).take(MOST));
        }
        // Microsoft's junk mail reports say it here, and nowhere else.
        for name in ["X-HmXmrOriginalRecipient", "X-Original-To", "Delivered-To"] {
            original
                .to
                .extend(mime::field_bodies(octets, name).iter().filter_map(|b| crate::fields::address(b)));
        }
        original.relay_ids.truncate(MOST);
        original.to.truncate(MOST);
        for part in &message.parts {
            if let PartType::Text(text) | PartType::Html(text) = &part.body {
                original.find_tokens(text);
            }
        }
        original
    }

    /// True if it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn find_tokens(&mut self, text: &str) {
        let text = &text[..text.floor_char_boundary(MOST_OF_TEXT)];
        for path in ["/o/", "/c/", "/u/", "/r/"] {
            for (at, _) in text.match_indices(path) {
                let token = &text[at + path.len()..];
                let end = token.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
                let token = &token[..end.unwrap_or(token.len())];
                if self.tokens.len() < MOST
                    && (SHORTEST_TOKEN..=LONGEST_TOKEN).contains(&token.len())
                    && !self.tokens.iter().any(|known| known == token)
                {
                    self.tokens.push(token.to_owned());
                }
            }
        }
    }
}

/// A Message-ID as one can look it up.
pub(crate) fn sound_id(id: &str) -> Option<String> {
    let id = id.trim().trim_start_matches('<').trim_end_matches('>');
    let sound =
        !id.is_empty() && id.len() <= MOST_OF_AN_ID && !id.chars().any(|c| c.is_control() || c == ' ');
    sound.then(|| id.to_owned())
}

/// Our own `Received` field: `by HOST (Waxseal) with … id UUID; …`.
fn relay_id(received: &str) -> Option<RelayId> {
    let (_, after) = received.split_once("(Waxseal)")?;
    let mut words = after.split([' ', '\t', '\r', '\n', ';']).skip_while(|word| *word != "id");
    words.nth(1)?.parse().ok()
}

fn each<'a>(addresses: &'a Address<'a>) -> impl Iterator<Item = String> + 'a {
    addresses.iter().filter_map(|one| one.address.as_deref()).filter(|a| a.contains('@')).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0199d1a3-7c51-7e0e-9f2a-4c1d6b7e8f90";

    #[test]
    fn what_leads_back_to_the_message() {
        let token = "A".repeat(52);
        let raw = format!(
            "Received: from x by y with ESMTP id 123; Tue, 24 Nov 2026 08:21:01 +0000\r\n\
             Received: by h.example (Waxseal) with ESMTPSA\r\n id {ID};\r\n Tue, 24 Nov 2026 08:21:01 +0000\r\n\
             Message-ID: <1@example.com>\r\nTo: Bo <bo@example.net>, undisclosed:;\r\n\
             Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
             <img src=3D\"https://t.example/o/{}=\r\n{}\">",
            &token[..20],
            &token[20..]
        );
        let original = Original::read(raw.as_bytes());
        assert_eq!(original.message_id.as_deref(), Some("1@example.com"));
        assert_eq!(original.relay_ids, [ID.parse().unwrap()]);
        assert_eq!(original.to, ["bo@example.net"]);
        assert_eq!(original.tokens, [token]);
        // Cut in the middle of the header, and nothing at all.
        assert_eq!(Original::read(&raw.as_bytes()[..200]).relay_ids.len(), 1);
        assert!(Original::read(b"").is_empty());
    }
}
