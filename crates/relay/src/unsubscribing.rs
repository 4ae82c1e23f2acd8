use envelope::{Reason, RelayId};
use seal::{Recipient, UNSUBSCRIBE_PATH};

use crate::door::Relay;
use crate::settings::AddUnsubscribe;

/// Fields whose presence says that the sender sees to unsubscribing himself, or that another program does.
const OWN_FIELDS: [&str; 2] = ["List-Unsubscribe", "List-Unsubscribe-Post"];

impl Relay {
    /// The fields that let one recipient unsubscribe with one click, with CRLF at the end of each line; they go on top of
    /// `content`, of which nothing changes.
    ///
    /// # Errors
    /// The reason why there are to be none.
    ///
    /// Source: RFC 2369 §3.2, RFC 8058 §3.1.
    pub(crate) fn unsubscribe_fields(
        &self,
        sender: &str,
        message: RelayId,
        recipient: Recipient,
        content: &[u8],
    ) -> Result<Vec<u8>, Reason> {
        if OWN_FIELDS.iter().any(|name| !mime::field_bodies(content, name).is_empty()) {
            return Err(Reason::UnsubscribeOwn);
        }
        // It may have signed that there is no such field (RFC 6376 §8.15), and it does not sign ours.
        if !mime::field_bodies(content, "DKIM-Signature").is_empty() {
            return Err(Reason::DkimSigned);
        }
        if !takes_fields_on_top(content) {
            return Err(Reason::UnsubscribeNoHeader);
        }
        if recipient == Recipient::Shared {
            return Err(Reason::UnsubscribeShared);
        }
        let token = self.keys.seal_unsubscribe(message, recipient);
        let url = format!("{}{UNSUBSCRIBE_PATH}{token}", self.settings.base_url_for(sender));
        let mailto =
            self.settings.unsubscribe_mailto.as_deref().map(|address| {
                format!(",\r\n <mailto:{}?subject=unsubscribe%20{token}>", in_mailto(address))
            });
        let mailto = mailto.unwrap_or_default();
        let field = format!(
            "List-Unsubscribe: <{url}>{mailto}\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
        );
        Ok(field.into_bytes())
    }

    /// Those fields for a recipient's copy, where the route adds them; nothing where there are to be none.
    pub(crate) fn unsubscribable(
        &self,
        route: usize,
        sender: &str,
        message: RelayId,
        recipient: Recipient,
        is_tracked: bool,
        content: &[u8],
    ) -> Vec<u8> {
        if !self.settings.routes[route].unsubscribe.is_for(is_tracked) {
            return vec![];
        }
        self.unsubscribe_fields(sender, message, recipient, content).unwrap_or_default()
    }
}

impl AddUnsubscribe {
    pub(crate) fn is_for(self, is_tracked: bool) -> bool {
        match self {
            Self::Off => false,
            Self::WhenTracked => is_tracked,
            Self::Always => true,
        }
    }
}

/// Not a text without a header, nor one that begins with a continuation line, which would go on with our field.
pub(crate) fn takes_fields_on_top(content: &[u8]) -> bool {
    mime::header_end(content) > 0 && !content.starts_with(b" ") && !content.starts_with(b"\t")
}

/// An address as a `mailto:` URL has it (RFC 6068 §2): what is not plainly allowed is percent-encoded.
fn in_mailto(address: &str) -> String {
    address
        .bytes()
        .map(|octet| match octet {
            b'@' | b'.' | b'-' | b'_' | b'+' | b'~' => char::from(octet).to_string(),
            _ if octet.is_ascii_alphanumeric() => char::from(octet).to_string(),
            _ => format!("%{octet:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use envelope::{SystemClock, Timestamp};
    use seal::Keys;
    use store::SqliteStore;
    use upstream::{Tls, Trust, Upstream};

    use super::*;
    use crate::AddressPattern;
    use crate::settings::{Route, Settings, TrackingDomain};

    const ANA: &str = "ana@example.com";

    fn relay(folder: &std::path::Path, mailto: Option<&str>, add: AddUnsubscribe) -> Relay {
        let upstream = Upstream {
            name: "a".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 1,
            tls: Tls::None,
            trust: Trust::System,
            helo: "relay.example".to_owned(),
            timeout: std::time::Duration::from_secs(1),
            proxy: None,
        };
        let settings = Settings {
            unsubscribe_mailto: mailto.map(str::to_owned),
            domains: vec![TrackingDomain {
                senders: vec![AddressPattern::Domain("example.org".to_owned())],
                base_url: "https://go.example.org".to_owned(),
            }],
            routes: vec![Route { unsubscribe: add, ..Route::direct(upstream) }],
            ..Settings::for_tests()
        };
        let store = Arc::new(SqliteStore::open(&folder.join("waxseal.db")).unwrap());
        Relay::new(settings, Arc::new(Keys::generate([7; 32])), store, Arc::new(SystemClock)).unwrap()
    }

    fn id() -> RelayId {
        RelayId::new(Timestamp::from_unix_millis(0), [1; 10])
    }

    #[tokio::test]
    async fn the_fields_as_their_standards_have_them() {
        let folder = tempfile::tempdir().unwrap();
        let plain = b"From: a@b.example\r\n\r\nhello\r\n";
        for (mailto, expected) in [
            (None, "List-Unsubscribe: <https://t.example.com/u/TOKEN>\r\n"),
            (
                Some("\"list, a\"+b@example.com"),
                "List-Unsubscribe: <https://t.example.com/u/TOKEN>,\r\n \
                 <mailto:%22list%2C%20a%22+b@example.com?subject=unsubscribe%20TOKEN>\r\n",
            ),
        ] {
            let relay = relay(folder.path(), mailto, AddUnsubscribe::Always);
            let fields = relay.unsubscribe_fields(ANA, id(), Recipient::Index(3), plain).unwrap();
            let text = String::from_utf8(fields).unwrap();
            let token = relay.keys.seal_unsubscribe(id(), Recipient::Index(3));
            let expected = format!("{expected}List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n");
            assert_eq!(text, expected.replace("TOKEN", &token));
            assert!(text.lines().all(|line| line.len() < 998));
            let bo = relay.unsubscribe_fields("bo@example.org", id(), Recipient::Index(3), plain).unwrap();
            assert!(
                bo.starts_with(b"List-Unsubscribe: <https://go.example.org/u/"),
                "the sender's own domain"
            );
        }
    }

    #[tokio::test]
    async fn where_there_are_to_be_none() {
        let folder = tempfile::tempdir().unwrap();
        let relay = relay(folder.path(), None, AddUnsubscribe::Always);
        let one = Recipient::Index(0);
        for (content, recipient, expected) in [
            ("list-UNSUBSCRIBE : <https://a.example/>\r\n\r\nx\r\n", one, Reason::UnsubscribeOwn),
            ("List-Unsubscribe:\r\n\r\nx\r\n", one, Reason::UnsubscribeOwn),
            ("List-Unsubscribe-Post: x\r\n\r\nx\r\n", one, Reason::UnsubscribeOwn),
            ("From: a@b.example\r\nDKIM-Signature: v=1\r\n\r\nx\r\n", one, Reason::DkimSigned),
            ("no header at all\r\n", one, Reason::UnsubscribeNoHeader),
            (" goes on\r\nFrom: a@b.example\r\n\r\nx\r\n", one, Reason::UnsubscribeNoHeader),
            ("From: a@b.example\r\n\r\nx\r\n", Recipient::Shared, Reason::UnsubscribeShared),
        ] {
            let found = relay.unsubscribe_fields(ANA, id(), recipient, content.as_bytes());
            assert_eq!(found, Err(expected), "{content:?}");
            assert_eq!(relay.unsubscribable(0, ANA, id(), recipient, true, content.as_bytes()), b"");
        }
        // An empty header is one.
        assert!(relay.unsubscribe_fields(ANA, id(), one, b"\r\nbody\r\n").is_ok());
        // What stands in the body or in an attached message is another one's.
        let inner = b"From: a@b.example\r\n\r\nList-Unsubscribe: <x>\r\nDKIM-Signature: v=1\r\n";
        assert!(relay.unsubscribe_fields(ANA, id(), one, inner).is_ok());
    }

    #[tokio::test]
    async fn the_route_says_which_copies_get_them() {
        let folder = tempfile::tempdir().unwrap();
        for (add, tracked, expected) in [
            (AddUnsubscribe::Off, true, false),
            (AddUnsubscribe::WhenTracked, false, false),
            (AddUnsubscribe::WhenTracked, true, true),
            (AddUnsubscribe::Always, false, true),
        ] {
            let relay = relay(folder.path(), None, add);
            let content = b"From: a@b.example\r\n\r\n\xff\0 x\r\n";
            let fields = relay.unsubscribable(0, ANA, id(), Recipient::Index(0), tracked, content);
            assert_eq!(!fields.is_empty(), expected, "{add:?} {tracked}");
        }
    }
}
