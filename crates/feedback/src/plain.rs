use mail_parser::Message;

use crate::fields::{address, best_status, one_line};
use crate::reading::failed_recipients;
use crate::report::{DeliveryReport, RecipientReport};
use crate::{Original, Severity, severity};

/// A notification in a program's own words: qmail's, Exim's, old Exchange's. `None`: it is none.
pub(crate) fn delivery(message: &Message<'_>, attached: &Original) -> Option<DeliveryReport> {
    let text = message.body_text(0).unwrap_or_default().replace("\r\n", "\n");
    let report = |recipients: Vec<RecipientReport>, text_after: Option<&str>| {
        let inline = text_after.map(|text| Original::read(text.trim_start().as_bytes()));
        let original = if attached.is_empty() { inline.unwrap_or_default() } else { attached.clone() };
        DeliveryReport { reporting_mta: None, recipients, original }
    };
    if let Some(at) = text.find("This is the qmail-send program").or_else(|| text.find("<<< qmail >>>")) {
        let (said, back) = cut(&text[at..], "--- Below this line is a copy of the message.");
        return Some(report(qmail(said), back));
    }
    let failed = failed_recipients(message);
    let by_exim = text.contains("This message was created automatically by mail delivery software");
    if by_exim || !failed.is_empty() {
        let (said, back) = cut(&text, "------ This is a copy of ");
        let back = back.and_then(|back| back.split_once("------\n")).map(|(_, back)| back);
        return Some(report(exim(said, &failed), back));
    }
    let recipients = exchange(&text);
    (!recipients.is_empty()).then(|| report(recipients, None))
}

fn cut<'t>(text: &'t str, marker: &str) -> (&'t str, Option<&'t str>) {
    match text.split_once(marker) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// qmail's QSBMF: paragraphs that begin with `<address>:`, then what was said.
fn qmail(text: &str) -> Vec<RecipientReport> {
    let mut recipients = Vec::new();
    for paragraph in text.split("\n\n").skip(1) {
        let Some((head, said)) = paragraph.trim_start().split_once('\n') else { continue };
        let Some(named) = head.trim_end().strip_prefix('<').and_then(|h| h.strip_suffix(">:")) else {
            continue;
        };
        if let Some(address) = address(named) {
            // "Remote host said: 550 …"; else qmail's own words with its (#5.1.1).
            let words = said.split_once("Remote host said:").map_or(said, |(_, words)| words);
            recipients.push(failed(address, words));
        }
    }
    recipients
}

/// Exim's: each address alone on an indented line, what was said below it, indented further.
fn exim(text: &str, failed_to: &[String]) -> Vec<RecipientReport> {
    let delayed = ["has not yet been delivered", "has not been delivered to one or more", "delivery delayed"]
        .iter()
        .any(|phrase| text.contains(phrase) && failed_to.is_empty())
        && text.contains("will continue");
    let mut recipients: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        let depth = line.len() - line.trim_start().len();
        let named = address(line.trim()).filter(|_| depth >= 1 && !line.trim().contains(' '));
        match (named, recipients.last_mut()) {
            (Some(address), _) => recipients.push((address, String::new())),
            (None, Some((_, said))) if depth >= 2 => {
                said.push(' ');
                said.push_str(line.trim());
            }
            _ => {}
        }
    }
    let mut reports: Vec<RecipientReport> = Vec::new();
    for (address, said) in recipients {
        if reports.iter().any(|known| known.address.as_deref() == Some(&address)) {
            continue;
        }
        let mut report = failed(address, said.split_once(":    ").map_or(said.as_str(), |(_, words)| words));
        if delayed {
            report.severity = Severity::Delayed;
        }
        reports.push(report);
    }
    for address in failed_to {
        if !reports.iter().any(|known| known.address.as_deref() == Some(address)) {
            reports.push(failed(address.clone(), text));
        }
    }
    // Gmail's old form names them in the field and says all in the text.
    if !failed_to.is_empty() {
        reports.retain(|report| report.address.as_ref().is_some_and(|a| failed_to.contains(a)));
    }
    reports
}

/// Exchange before 2007: "The following recipient(s) could not be reached:", then each with its `#5.1.1`.
fn exchange(text: &str) -> Vec<RecipientReport> {
    let heads = ["recipient(s) could not be reached", "recipient(s) cannot be reached"];
    let Some(at) = heads.iter().find_map(|head| text.find(head)) else { return Vec::new() };
    let mut recipients: Vec<(String, String)> = Vec::new();
    for line in text[at..].lines().skip(1) {
        let named =
            line.split([' ', '\t', '\'', '<', '>', ';']).filter(|word| !word.contains('#')).find_map(address);
        match (named, recipients.last_mut()) {
            (Some(address), _) if !line.contains('#') => recipients.push((address, String::new())),
            (_, Some((_, said))) => {
                said.push(' ');
                said.push_str(line);
            }
            _ => {}
        }
    }
    recipients.into_iter().map(|(address, said)| failed(address, &said)).collect()
}

fn failed(address: String, said: &str) -> RecipientReport {
    let words = one_line(said);
    let status = best_status(None, &words);
    RecipientReport {
        address: Some(address),
        final_address: None,
        severity: severity::of_failure(status, &words),
        status,
        diagnostic: Some(words).filter(|words| !words.is_empty()),
    }
}
