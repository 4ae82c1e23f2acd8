//! HTML made to cost us time or memory.

use std::sync::Arc;

use envelope::Reason;

use crate::mail;

pub struct Hostile {
    pub mail: Arc<Vec<u8>>,
    /// Why it goes out untouched; none if it is followed all the same.
    pub reason: Option<Reason>,
}

pub const NAMES: [&str; 10] = [
    "100k nested tags",
    "a comment of 5 MB",
    "one that Outlook looks into",
    "a million attributes",
    "a million links",
    "a million open quotes",
    "a million conditional comments",
    "a link of 5 MB",
    "5 MB of `<`",
    "a line of 5 MB, a thousand links",
];

pub fn of(name: &str) -> Hostile {
    let body = |inside: String| format!("<html><body><p>Hi</p>{inside}</body></html>\n");
    let link = "<a href=\"https://example.org/x\">x</a>";
    let (html, reason) = match name {
        "100k nested tags" => (body("<div>\n".repeat(100_000)), Some(Reason::HtmlNotFollowed)),
        "a comment of 5 MB" => (body(format!("<!-- {} -->", "xx\n".repeat(1_666_666))), None),
        "one that Outlook looks into" => (
            body(format!("<!--[if mso]>{link}{}<![endif]-->", "xx\n".repeat(1_666_666))),
            Some(Reason::HtmlNotFollowed),
        ),
        "a million attributes" => {
            (body(format!("<a {}>", "a=b\n".repeat(1_000_000))), Some(Reason::HtmlNotFollowed))
        }
        "a million links" => (body(format!("{link}\n").repeat(1_000_000)), Some(Reason::TooLarge)),
        "a million open quotes" => (body("<a href=\"\n".repeat(1_000_000)), Some(Reason::HtmlNotFollowed)),
        "a million conditional comments" => (body("<!--[if mso]><a href=\n".repeat(1_000_000)), None),
        "a link of 5 MB" => {
            let href = format!("https://example.org/{}", "x".repeat(5_000_000));
            (body(format!("<a href=\"{href}\">x</a>")), Some(Reason::HtmlNotFollowed))
        }
        "5 MB of `<`" => (body("<".repeat(5_000_000)), None),
        _ => (body(format!("{}{link}", "x".repeat(5_000)).repeat(1_000)), None),
    };
    Hostile { mail: mail::unencoded(&html), reason }
}
