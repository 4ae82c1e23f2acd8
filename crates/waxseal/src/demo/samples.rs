//! The messages the demo begins with: one for each state a message can be in.

use envelope::{Mailbox, Timestamp};

/// Who one is in the demo.
pub(crate) const SENDER: &str = "ana@demo.test";

/// A message as a mail program would submit it.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) to: Vec<Mailbox>,
    pub(crate) content: Vec<u8>,
}

/// HTML with links, tracked as the sender chose.
pub(crate) fn offer(at: Timestamp, track: &str) -> Sample {
    let html = "<html><body style=\"font-family: sans-serif\">\r\n\
        <p>Dear Jo,</p>\r\n\
        <p>here is <a href=\"https://example.com/offer?no=4711&amp;lang=en\">our\r\n\
        offer for forty seals</a>, as promised on Monday. The\r\n\
        <a href='https://example.com/terms#delivery'>terms</a> are those of\r\n\
        last year.</p>\r\n\
        <p>Kind regards<br>Ana</p>\r\n\
        <p><small>Not interesting any more? <a\r\n\
        href=\"https://example.com/unsubscribe?u=17\">Unsubscribe</a></small></p>\r\n\
        </body></html>\r\n";
    sample(&["jo@demo.test"], "Offer 4711", at, &format!("X-Waxseal-Track: {track}\r\n"), &Body::Html(html))
}

/// Plain text: nothing in it can be tracked.
pub(crate) fn plain_words(at: Timestamp) -> Sample {
    let text = "Dear Kim,\r\n\r\njust plain words, and a link that stays as it is:\r\n\
        https://example.com/minutes\r\n\r\nAna\r\n";
    sample(&["kim@demo.test"], "Plain words", at, "", &Body::Plain(text))
}

/// One copy for several people: one sees that somebody opened it, not who.
pub(crate) fn minutes(at: Timestamp) -> Sample {
    let html = "<p>Dear all,</p>\r\n\
        <p>the <a href=\"https://example.com/minutes\">minutes of Monday</a> are online.</p>\r\n<p>Ana</p>\r\n";
    sample(&["jo@demo.test", "kim@demo.test", "li@demo.test"], "Minutes of Monday", at, "", &Body::Html(html))
}

/// A message whose images a machine loads before anybody has read it.
pub(crate) fn hello(at: Timestamp) -> Sample {
    let html = "<p>Hello Li,</p>\r\n<p>are you in town this week? Have a look at \
        <a href=\"https://example.com/places\">these places</a>.</p>\r\n<p>Ana</p>\r\n";
    sample(&["li@demo.test"], "Hello", at, "", &Body::Html(html))
}

enum Body {
    Html(&'static str),
    Plain(&'static str),
}

fn sample(to: &[&str], subject: &str, at: Timestamp, fields: &str, body: &Body) -> Sample {
    let to: Vec<Mailbox> = to.iter().filter_map(|address| Mailbox::parse(address).ok()).collect();
    let names: Vec<&str> = to.iter().map(Mailbox::as_str).collect();
    let (media_type, text) = match body {
        Body::Html(text) => ("text/html", text),
        Body::Plain(text) => ("text/plain", text),
    };
    let content = format!(
        "From: Ana <{SENDER}>\r\nTo: {}\r\nSubject: {subject}\r\nDate: {}\r\n\
         Message-ID: <{}.{}@demo.test>\r\n{fields}MIME-Version: 1.0\r\n\
         Content-Type: {media_type}; charset=utf-8\r\n\r\n{text}",
        names.join(", "),
        date(at),
        at.unix_millis(),
        subject.to_ascii_lowercase().replace(' ', "-"),
    );
    Sample { to, content: content.into_bytes() }
}

/// RFC 5322 §3.3.
fn date(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.unix_millis())
        .map(|at| at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string())
        .unwrap_or_default()
}
