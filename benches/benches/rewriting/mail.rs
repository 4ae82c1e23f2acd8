//! Mails to measure with, made here so that each size is the same mail, only longer.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use envelope::{Choice, RelayId, Timestamp};
use relay::{OnDkim, Rewriting, Tracking};
use seal::{Keys, Recipient};

const FIELDS: &str = "From: Ana <ana@example.com>\r\nTo: Jo <jo@example.net>\r\nSubject: News\r\n\
    Message-ID: <bench@example.com>\r\nMIME-Version: 1.0\r\n";

/// A newsletter of about `octets` with so many links, spread evenly.
pub fn newsletter(octets: usize, links: usize) -> String {
    let mut html = "<!doctype html>\n<html><head><meta charset=\"utf-8\"><title>News</title>\n\
        <style>p { margin: 0; font-family: sans-serif } .button { padding: 8px }</style></head>\n\
        <body bgcolor=\"#ffffff\">\n"
        .to_owned();
    let each = octets / links;
    for number in 1..=links {
        let end = octets * number / links;
        html.push_str(&format!(
            "<table role=\"presentation\" width=\"600\" cellpadding=\"0\"><tr><td style=\"padding:0 24px\">\n\
            <h2>Story {number}</h2>\n<p><a class=\"button\" href=\"https://www.example.org/stories/\
            {number}?utm_source=news&amp;utm_medium=mail&amp;id={number}\" target=\"_blank\">Read story {number}</a></p>\n"
        ));
        while html.len() + 200 < end {
            html.push_str(
                "<p style=\"color: #333333; line-height: 1.5\">The garden was full of <b>bees</b> again, und die Gärten \
                grüßen zurück; nobody knew why, but everyone stayed until the light was gone.</p>\n",
            );
        }
        html.push_str("</td></tr></table>\n");
    }
    assert!(each > 500, "the links alone would take more");
    html.push_str("</body></html>\n");
    html
}

/// The same as text of CRLF lines.
fn crlf(text: &str) -> String {
    text.replace('\n', "\r\n")
}

/// A mail of one part.
pub fn quoted_printable(html: &str) -> Arc<Vec<u8>> {
    let encoded = quoted_printable::encode_to_str(crlf(html));
    let fields =
        "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n";
    Arc::new([FIELDS, fields, &encoded, "\r\n"].concat().into_bytes())
}

/// A mail of one part, not encoded; its lines as they are.
pub fn unencoded(html: &str) -> Arc<Vec<u8>> {
    let fields = "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n";
    Arc::new([FIELDS, fields, &crlf(html)].concat().into_bytes())
}

/// A mail of one part in lines of 76 characters.
pub fn base64(html: &str) -> Arc<Vec<u8>> {
    let fields = "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    let mut mail = [FIELDS, fields].concat().into_bytes();
    mail.extend_from_slice(&lines_of_base64(crlf(html).as_bytes()));
    Arc::new(mail)
}

/// The same HTML, and a file of about so many encoded octets.
pub fn with_attachment(html: &str, octets: usize) -> Arc<Vec<u8>> {
    let encoded = quoted_printable::encode_to_str(crlf(html));
    let fields = "Content-Type: multipart/mixed; boundary=\"=_part\"\r\n\r\n--=_part\r\n\
        Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n";
    let between = "\r\n--=_part\r\nContent-Type: application/pdf; name=\"plan.pdf\"\r\n\
        Content-Disposition: attachment\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    let mut mail = [FIELDS, fields, &encoded, between].concat().into_bytes();
    let file: Vec<u8> = (0..octets / 78 * 57).map(|at| u8::try_from(at * at % 251).unwrap_or(0)).collect();
    mail.extend_from_slice(&lines_of_base64(&file));
    mail.extend_from_slice(b"\r\n--=_part--\r\n");
    Arc::new(mail)
}

fn lines_of_base64(octets: &[u8]) -> Vec<u8> {
    let encoded = STANDARD.encode(octets).into_bytes();
    let lines: Vec<&[u8]> = encoded.chunks(76).collect();
    lines.join(b"\r\n".as_slice())
}

/// Opens and links, with real keys.
pub fn tracking() -> Tracking {
    Tracking {
        id: RelayId::new(Timestamp::from_unix_millis(1_795_508_461_123), [7; 10]),
        recipient: Recipient::Index(0),
        choice: Choice::BOTH,
        keys: Arc::new(Keys::generate([42; 32])),
        base_url: "https://t.example.com".to_owned(),
        rewriting: Rewriting::default(),
        on_dkim: OnDkim::Keep,
    }
}
