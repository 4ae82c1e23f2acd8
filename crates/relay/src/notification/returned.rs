use envelope::Ret;

use super::Notification;

/// What goes back of the message, with its header: text/rfc822-headers, or message/rfc822 (RFC 6522 §3).
pub(super) enum Returned {
    /// Header fields.
    Headers(Vec<u8>),
    /// All of it.
    Message(Vec<u8>),
}

/// The sender has the message anyway.
const MOST_WHOLE: usize = 1 << 20;
const MOST_HEADERS: usize = 64 * 1024;

/// `RET=FULL` gives the message back if it fits into a notification that every server takes; otherwise its header
/// section. Without RET the header section: the body has a pixel and links that would count the sender.
///
/// Deviation: of a message with octets above 127 only the header section, whatever RET says: message/rfc822 cannot
/// be encoded (RFC 2046 §5.2.1), and the provider that takes the notification need not know 8BITMIME.
pub(super) fn returned(notification: &Notification<'_>) -> Option<Returned> {
    // Over links that nobody vouches for goes nothing of a message that was to go over TLS only (RFC 8689 §5).
    let content = notification.content.filter(|_| !notification.message.parameters.require_tls)?;
    let wants_all = notification.message.parameters.ret == Some(Ret::Full);
    if wants_all && content.is_ascii() && content.len() <= MOST_WHOLE && !content.contains(&0) {
        return Some(Returned::Message(with_crlf(content)));
    }
    let headers = &content[..mime::header_end(content)];
    let headers = headers.strip_suffix(b"\r\n\r\n").map_or(headers, |fields| &headers[..fields.len() + 2]);
    let cut = if headers.len() > MOST_HEADERS {
        let cut = &headers[..MOST_HEADERS];
        cut.iter().rposition(|octet| *octet == b'\n').map_or(&cut[..0], |end| &cut[..=end])
    } else {
        headers
    };
    let clean: Vec<u8> = cut.iter().map(|octet| if *octet == 0 { b' ' } else { *octet }).collect();
    (!clean.is_empty()).then(|| Returned::Headers(with_crlf(&clean)))
}

/// Every line ends in CRLF, and nothing else looks like a line end.
fn with_crlf(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        out.extend(line.iter().map(|octet| if *octet == b'\r' { b' ' } else { *octet }));
        out.extend_from_slice(b"\r\n");
    }
    out
}
