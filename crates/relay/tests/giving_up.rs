//! A rewrite that nobody waits for any more ends soon, wherever it is, and leaves the message as it came.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use envelope::{Choice, Reason, RelayId, Timestamp};
use seal::{Keys, Recipient};
use waxseal_relay::{OnDkim, Rewriting, Tracking, rewrite, rewrite_unless};

fn tracking() -> Tracking {
    Tracking {
        id: RelayId::new(Timestamp::from_unix_millis(1_795_508_461_123), [7; 10]),
        recipient: Recipient::Index(0),
        choice: Choice::BOTH,
        keys: Arc::new(Keys::generate([42; 32])),
        base_url: "https://t.example.com".into(),
        rewriting: Rewriting { plain_text: true, ..Rewriting::default() },
        on_dkim: OnDkim::Keep,
    }
}

/// Plain text and HTML, with links in text, in markup, and in a conditional comment.
fn mail(links: usize) -> Arc<Vec<u8>> {
    let link = "<a href=\"https://example.org/x\">x</a>\r\n";
    let mail = format!(
        "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n\
         see https://example.org/y and https://example.org/z\r\n--b\r\nContent-Type: text/html\r\n\r\n\
         <body><!--[if mso]>{link}<![endif]-->{}</body>\r\n--b--\r\n",
        link.repeat(links)
    );
    Arc::new(mail.into_bytes())
}

#[test]
fn at_every_point_where_it_asks() {
    let (mail, tracking) = (mail(5), tracking());
    let whole = rewrite(&mail, &tracking);
    assert_eq!(whole.links_tracked(), 8);
    let mut ended_early = 0;
    loop {
        let asked = Cell::new(0);
        let rewritten = rewrite_unless(&mail, &tracking, &|| {
            asked.set(asked.get() + 1);
            asked.get() > ended_early
        });
        if asked.get() <= ended_early {
            assert_eq!(rewritten, whole);
            break;
        }
        assert_eq!(rewritten.content, mail, "given up at question {ended_early}");
        assert_eq!(rewritten.reasons, [Reason::TooSlow]);
        assert!(rewritten.links.is_empty() && !rewritten.pixel);
        // Each part asks once more, and so does the end.
        assert!(asked.get() - ended_early <= 4, "asked {} times after", asked.get() - ended_early);
        ended_early += 1;
    }
    assert!(ended_early > 16, "each link is judged and sealed: asked only {ended_early} times");
}

#[test]
fn from_another_thread() {
    let (mail, tracking) = (mail(60_000), tracking());
    let given_up = Arc::new(AtomicBool::new(false));
    let (began, flag) = (Instant::now(), given_up.clone());
    let thread =
        std::thread::spawn(move || rewrite_unless(&mail, &tracking, &|| flag.load(Ordering::Relaxed)));
    given_up.store(true, Ordering::Relaxed);
    let rewritten = thread.join().unwrap();
    assert_eq!(rewritten.reasons, [Reason::TooSlow]);
    // Unoptimised, on a busy machine; all of it would take longer than that.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
