//! Links that fit on no line of a part that is not encoded do not cost it the rest.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;

use envelope::{Choice, Reason, RelayId, Timestamp};
use seal::{Keys, Recipient};
use waxseal_relay::{OnDkim, Rewriting, Tracking, rewrite};

#[test]
fn many_of_them_leave_the_pixel() {
    let tracking = Tracking {
        id: RelayId::new(Timestamp::from_unix_millis(1_795_508_461_123), [7; 10]),
        recipient: Recipient::Index(0),
        choice: Choice::BOTH,
        keys: Arc::new(Keys::generate([42; 32])),
        base_url: "https://t.example.com".into(),
        rewriting: Rewriting::default(),
        on_dkim: OnDkim::Keep,
    };
    for (long, short_ones_tracked) in [(20, 5), (100, 0)] {
        let link = format!("<a href=\"https://example.org/{}\">x</a>\r\n", "a".repeat(800));
        let short = "<a href=\"https://example.org/b\">y</a>\r\n".repeat(5);
        let mail = format!("Content-Type: text/html\r\n\r\n<body>{}{short}</body>\r\n", link.repeat(long));
        let rewritten = rewrite(&Arc::new(mail.into_bytes()), &tracking);
        assert!(rewritten.pixel, "{long}: {:?} {:?}", rewritten.reasons, rewritten.parts);
        assert_eq!(rewritten.links_tracked(), short_ones_tracked, "{long}");
        let kept = rewritten.links.iter().filter(|link| link.kept == Some(Reason::LineTooLong)).count();
        assert_eq!(kept, long + 5 - short_ones_tracked);
        let lines = rewritten.content.split(|octet| *octet == b'\n').map(<[u8]>::len).max();
        assert!(lines < Some(998));
    }
}
