use mail_parser::{Encoding, Message, MessageParser, MessagePart, MimeHeaders, PartType};

use crate::fields::{Fields, address, best_status, one_line, words};
use crate::original::sound_id;
use crate::report::{Complaint, DeliveryReport, FeedbackType, ReadError, RecipientReport, Report};
use crate::{Original, Severity, plain, severity};

/// Reads one message as a report. Total: whatever the octets, it ends and does not panic.
///
/// # Errors
/// When it is none, or says nothing about anybody.
pub fn read(raw: &[u8]) -> Result<Report, ReadError> {
    let message = MessageParser::new().parse(raw).ok_or(ReadError::NoMessage)?;
    let report_type = message.content_type().and_then(|t| t.attribute("report-type")).unwrap_or_default();
    if let Some(feedback) = part(&message, &["feedback-report"]) {
        return Ok(Report::Complaint(complaint(&message, raw, feedback)));
    }
    let report = if let Some(status) = part(&message, &["delivery-status", "global-delivery-status"]) {
        delivery(&message, raw, status)
    } else if report_type.eq_ignore_ascii_case("disposition-notification")
        || part(&message, &["disposition-notification", "global-disposition-notification"]).is_some()
    {
        return Err(ReadError::ReadReceipt);
    } else if let Some(complaint) = junk_mail_report(&message, raw) {
        return Ok(Report::Complaint(complaint));
    } else {
        plain::delivery(&message, &original(&message, raw)).ok_or(ReadError::NoReport)?
    };
    if report.recipients.is_empty() { Err(ReadError::NoRecipient) } else { Ok(Report::Delivery(report)) }
}

/// RFC 3464 §2.
fn delivery(message: &Message<'_>, raw: &[u8], status: &MessagePart<'_>) -> DeliveryReport {
    let text = String::from_utf8_lossy(contents(status, raw)).into_owned();
    let mut blocks = Fields::blocks(&text);
    // The first block is the message's, unless somebody left it out.
    let of_message = match blocks.first() {
        Some(first) if first.get("final-recipient").is_none() && first.get("action").is_none() => {
            blocks.remove(0)
        }
        _ => Fields::default(),
    };
    let mut original = original(message, raw);
    if original.message_id.is_none() {
        // Gmail and Postfix say it beside, Exchange in the notification's own references.
        let beside = of_message.get("x-original-message-id").map(str::to_owned);
        let own = || message.in_reply_to().as_text().map(str::to_owned);
        let last = || message.references().as_text_list().and_then(|ids| ids.last().map(ToString::to_string));
        original.message_id = beside.or_else(own).or_else(last).as_deref().and_then(sound_id);
    }
    let mut recipients: Vec<RecipientReport> = blocks.iter().filter_map(recipient).collect();
    if let [only] = &mut recipients[..]
        && only.address.is_none()
    {
        only.address = failed_recipients(message).into_iter().next();
    }
    DeliveryReport {
        reporting_mta: of_message.get("reporting-mta").map(words).filter(|name| !name.is_empty()),
        recipients,
        original,
    }
}

/// RFC 3464 §2.3.
fn recipient(block: &Fields) -> Option<RecipientReport> {
    let finally = block.get("final-recipient").and_then(address);
    let at_first = block.get("original-recipient").and_then(address);
    let diagnostic = block.get("diagnostic-code").map(words).filter(|words| !words.is_empty());
    let said = diagnostic.as_deref().unwrap_or_default();
    let status = best_status(block.get("status"), said);
    let action = block.get("action").unwrap_or_default().split([' ', '(', ';']).next().unwrap_or_default();
    let severity = match action.to_ascii_lowercase().as_str() {
        "delivered" | "relayed" | "expanded" => Severity::None,
        "delayed" => Severity::Delayed,
        "failed" | "failure" => severity::of_failure(status, said),
        // Without an action (old Exchange) the code must do.
        _ => match status.map(envelope::EnhancedStatusCode::class) {
            Some(2) => Severity::None,
            Some(4) => Severity::Delayed,
            Some(_) => severity::of_failure(status, said),
            None => return None,
        },
    };
    let address = at_first.or_else(|| finally.clone());
    let final_address = finally.filter(|finally| Some(finally) != address.as_ref());
    Some(RecipientReport { address, final_address, severity, status, diagnostic })
}

/// RFC 5965 §3.
fn complaint(message: &Message<'_>, raw: &[u8], feedback: &MessagePart<'_>) -> Complaint {
    let text = String::from_utf8_lossy(contents(feedback, raw)).into_owned();
    // Some leave blank lines between the fields.
    let blocks = Fields::blocks(&text);
    let all = |name: &'static str| blocks.iter().flat_map(move |block| block.all(name));
    let mut original = original(message, raw);
    if original.message_id.is_none() {
        original.message_id = all("original-message-id").next().and_then(sound_id);
    }
    let mut addresses: Vec<String> = all("original-rcpt-to").filter_map(address).collect();
    addresses.truncate(100);
    Complaint {
        // Without the field it is no valid report, but somebody took the trouble to send it.
        kind: all("feedback-type").next().map_or(FeedbackType::Abuse, FeedbackType::parse),
        addresses,
        user_agent: all("user-agent").next().map(one_line),
        original,
    }
}

/// Microsoft's junk mail reporting: the message alone, with its recipient in a field of its own.
fn junk_mail_report(message: &Message<'_>, raw: &[u8]) -> Option<Complaint> {
    let back = part(message, ORIGINALS)?;
    let octets = contents(back, raw);
    let fields = mime::field_bodies(octets, "X-HmXmrOriginalRecipient");
    let addresses: Vec<String> = fields.iter().filter_map(|body| address(body)).collect();
    (!addresses.is_empty()).then(|| Complaint {
        kind: FeedbackType::Abuse,
        addresses,
        user_agent: None,
        original: Original::read(octets),
    })
}

const ORIGINALS: &[&str] = &["rfc822", "global", "rfc822-headers", "global-headers"];

/// What came back of the message, if it is a part of its own.
fn original(message: &Message<'_>, raw: &[u8]) -> Original {
    part(message, ORIGINALS).map(|part| Original::read(contents(part, raw))).unwrap_or_default()
}

/// The addresses of `X-Failed-Recipients`: Exim and Gmail.
pub(crate) fn failed_recipients(message: &Message<'_>) -> Vec<String> {
    let fields = message.header_values("X-Failed-Recipients").filter_map(|value| value.as_text());
    fields.flat_map(|body| body.split(',')).filter_map(address).take(100).collect()
}

/// The first part with one of these subtypes of `message` or `text`, whatever its case.
fn part<'m, 'x>(message: &'m Message<'x>, subtypes: &[&str]) -> Option<&'m MessagePart<'x>> {
    // The first one is the message itself.
    message.parts.iter().skip(1).find(|part| {
        part.content_type().is_some_and(|media| {
            let subtype = media.subtype().unwrap_or_default();
            ["message", "text"].iter().any(|kind| media.ctype().eq_ignore_ascii_case(kind))
                && subtypes.iter().any(|known| subtype.eq_ignore_ascii_case(known))
        })
    })
}

/// A part's octets, decoded.
fn contents<'a>(part: &'a MessagePart<'_>, raw: &'a [u8]) -> &'a [u8] {
    match (&part.body, &part.encoding) {
        // A nested message that was not encoded is known by its place only.
        (PartType::Message(_), Encoding::None) => {
            raw.get(part.offset_body as usize..part.offset_end as usize).unwrap_or_default()
        }
        _ => part.contents(),
    }
}

#[cfg(test)]
mod tests;
