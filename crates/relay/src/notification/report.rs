use envelope::{ForwardPath, Mailbox};

use super::returned::{Returned, returned};
use super::words::{self, one_line};
use super::{News, Notification, Told, xtext};
use crate::trace::date_time;

/// A field longer than this is folded: well under the 998 octets of RFC 5322 §2.1.1.
const FOLD_AT: usize = 76;
/// A Message-ID longer than this is somebody's joke.
const MOST_OF_AN_ID: usize = 900;
/// Of a provider's words in a field; the part for people has them all.
const MOST_OF_WORDS: usize = 2_000;

/// The whole notification, ASCII but for the address of a sender that is not.
pub(super) fn write(notification: &Notification<'_>, to: &Mailbox) -> Vec<u8> {
    let Notification { id, at, news, .. } = notification;
    let hostname = words_only(notification.hostname);
    let boundary = format!("=_waxseal_{id}");
    let mut out = Vec::new();
    let mut say = |text: &str| out.extend_from_slice(text.as_bytes());
    say(&format!("Date: {}\r\n", date_time(*at)));
    say(&format!("From: Mail Delivery System <MAILER-DAEMON@{hostname}>\r\n"));
    say(&format!("To: <{to}>\r\n"));
    say(&format!("Subject: {}\r\n", words::subject(*news)));
    say(&format!("Message-ID: <{id}@{hostname}>\r\n"));
    if let Some(original) = notification.content.and_then(message_id) {
        say(&format!("In-Reply-To: {original}\r\nReferences: {original}\r\n"));
    }
    say("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
    say(&format!(
        "Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"{boundary}\"\r\n\r\n"
    ));

    say(&format!("--{boundary}\r\n"));
    text_part(&mut out, "text/plain; charset=utf-8", words::text(notification).as_bytes());
    let mut say = |text: &str| out.extend_from_slice(text.as_bytes());
    say(&format!("\r\n--{boundary}\r\nContent-Type: message/delivery-status\r\n\r\n"));
    say(&status(notification, &hostname));
    match returned(notification) {
        Some(Returned::Headers(headers)) => {
            say(&format!("\r\n--{boundary}\r\n"));
            text_part(&mut out, "text/rfc822-headers; charset=utf-8", &headers);
        }
        Some(Returned::Message(message)) => {
            say(&format!("\r\n--{boundary}\r\nContent-Type: message/rfc822\r\n\r\n"));
            out.extend_from_slice(&message);
        }
        None => {}
    }
    out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    out
}

/// Header and body of a text part: as it is, or, if it would not travel as it is, in quoted-printable.
fn text_part(out: &mut Vec<u8>, content_type: &str, text: &[u8]) {
    let travels = text.is_ascii() && text.split(|octet| *octet == b'\n').all(|line| line.len() < 998);
    let (encoding, body) =
        if travels { ("7bit", text.to_vec()) } else { ("quoted-printable", quoted_printable::encode(text)) };
    out.extend_from_slice(
        format!("Content-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n").as_bytes(),
    );
    out.extend_from_slice(&body);
}

/// message/delivery-status (RFC 3464 §2).
fn status(notification: &Notification<'_>, hostname: &str) -> String {
    let message = notification.message;
    let mut text = String::new();
    if let Some(envid) = message.parameters.envid.as_deref().and_then(xtext::decode) {
        text += &field("Original-Envelope-Id", &envid);
    }
    text += &field("Reporting-MTA", &format!("dns; {hostname}"));
    text += &field("Arrival-Date", &date_time(message.queued_at));
    for told in notification.recipients {
        text += "\r\n";
        text += &of_recipient(notification, told);
    }
    text
}

fn of_recipient(notification: &Notification<'_>, told: &Told) -> String {
    let (news, answer) = (notification.news, &told.answer);
    let mut text = String::new();
    if let Some(original) = told.recipient.parameters.orcpt.as_deref().and_then(original_recipient) {
        text += &field("Original-Recipient", &original);
    }
    text += &field("Final-Recipient", &final_recipient(&told.recipient.forward_path));
    let action = match news {
        News::Failed => "failed",
        News::Delayed { .. } => "delayed",
        News::Relayed => "relayed",
    };
    text += &field("Action", action);
    text += &field("Status", &status_code(news, told));
    if answer.code > 0 {
        text += &field("Remote-MTA", &format!("dns; {}", words_only(notification.provider)));
        text += &field("Diagnostic-Code", &format!("smtp; {} {}", answer.code, answer.to_kept()));
    } else if !answer.text.is_empty() {
        text += &field("Diagnostic-Code", &format!("x-waxseal; {}", answer.text));
    }
    text += &field("Last-Attempt-Date", &date_time(notification.at));
    if let News::Delayed { until } = news {
        text += &field("Will-Retry-Until", &date_time(until));
    }
    text
}

/// RFC 3463: what the provider said if it fits what became of it, else what we know ourselves.
fn status_code(news: News, told: &Told) -> String {
    let class = match news {
        News::Failed if told.given_up => 4,
        News::Failed => 5,
        News::Delayed { .. } => 4,
        News::Relayed => 2,
    };
    let said = told.answer.enhanced.filter(|enhanced| enhanced.class() == class);
    match (said, news, told.answer.code) {
        (Some(said), ..) => said.to_string(),
        // Delivery time expired; no answer from host.
        (None, News::Failed, _) if told.given_up => "4.4.7".to_owned(),
        (None, News::Delayed { .. }, 0) => "4.4.1".to_owned(),
        _ => format!("{class}.0.0"),
    }
}

/// `rfc822; bo@example.net`; with UTF-8 in it `utf-8; j\x{F6}rg@example.net`, which is ASCII (RFC 6533 §3).
fn final_recipient(path: &ForwardPath) -> String {
    let address = path.to_string();
    if address.is_ascii() {
        return format!("rfc822; {address}");
    }
    let escape = |c: char| match c {
        '\\' | '+' | '=' => format!("\\x{{{:02X}}}", u32::from(c)),
        c if c.is_ascii() => c.to_string(),
        c => format!("\\x{{{:02X}}}", u32::from(c)),
    };
    format!("utf-8; {}", address.chars().map(escape).collect::<String>())
}

/// `rfc822; bo@example.net` out of `rfc822;bo@example.net` with its xtext undone.
fn original_recipient(orcpt: &str) -> Option<String> {
    let (kind, address) = orcpt.split_once(';')?;
    let is_kind = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let address = if kind.eq_ignore_ascii_case("utf-8") {
        // Its own escapes are ASCII and meant to stay.
        address.bytes().all(|octet| octet.is_ascii_graphic()).then(|| address.to_owned())?
    } else {
        xtext::decode(address)?
    };
    is_kind.then(|| format!("{kind}; {address}"))
}

/// The Message-ID, if it may stand in a field of ours as it is.
fn message_id(content: &[u8]) -> Option<String> {
    let body = mime::field_bodies(content, "Message-ID").into_iter().next()?;
    let id = body.trim();
    let inner = id.strip_prefix('<')?.strip_suffix('>')?;
    let plain = inner.bytes().all(|b| b.is_ascii_graphic() && b != b'<' && b != b'>') && inner.contains('@');
    (plain && id.len() <= MOST_OF_AN_ID).then(|| id.to_owned())
}

/// A field, in ASCII, folded at its blanks; whatever a body holds, no other field can come out of it.
fn field(name: &str, body: &str) -> String {
    let body: String =
        one_line(body).chars().map(|c| if c.is_ascii() { c } else { '?' }).take(MOST_OF_WORDS).collect();
    let mut text = format!("{name}:");
    let mut length = text.len();
    for word in body.split_ascii_whitespace() {
        let mut rest = word;
        loop {
            // A word longer than a line may be is cut: better a blank too many than a line too long.
            let (piece, after) = rest.split_at(rest.len().min(MOST_OF_AN_ID));
            if length + 1 + piece.len() > FOLD_AT && length > name.len() + 1 {
                text.push_str("\r\n");
                length = 0;
            }
            text.push(' ');
            text.push_str(piece);
            length += 1 + piece.len();
            if after.is_empty() {
                break;
            }
            rest = after;
        }
    }
    text + "\r\n"
}

/// A host name of the configuration, without anything that has a meaning in a field.
fn words_only(host: &str) -> String {
    host.chars().filter(|c| c.is_ascii_alphanumeric() || ".-_[]:".contains(*c)).collect()
}
