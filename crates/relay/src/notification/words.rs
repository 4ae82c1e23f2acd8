use envelope::{ReversePath, Timestamp};

use super::{News, Notification, Told};
use crate::trace::date_time;

/// As much of a subject as a person needs to know which mail it is.
const MOST_OF_A_SUBJECT: usize = 200;

/// The subject, which tells a person what happened to which kind of mail, and nothing of the mail itself.
pub(super) fn subject(news: News) -> &'static str {
    match news {
        News::Failed => "Not delivered: your message did not arrive",
        News::Delayed { .. } => "Delayed: your message is still on its way",
        News::Relayed => "Handed on: your message left this relay",
    }
}

/// The part for people.
pub(super) fn text(notification: &Notification<'_>) -> String {
    let Notification { message, hostname, provider, news, .. } = notification;
    let several = notification.recipients.len() > 1;
    let recipients = if several { "recipients" } else { "recipient" };
    let mut text = format!("This is the mail relay {hostname}.\r\n\r\n");
    text += &match news {
        News::Failed => format!(
            "Your message did not arrive at the following {recipients}. It will not be tried again.\r\n"
        ),
        News::Delayed { until } => format!(
            "Your message could not yet be handed on for the following {recipients}. You need not do anything:\r\nit is tried again until {}.\r\n",
            date_time(*until)
        ),
        News::Relayed => format!(
            "Your message was handed on to {provider} for the following {recipients}.\r\nThat server sends no confirmation of delivery, so this is the last you hear of it.\r\n"
        ),
    };
    text += "\r\n";
    let may_be_shown = !message.parameters.require_tls;
    if let Some(subject) = notification.content.filter(|_| may_be_shown).and_then(subject_of) {
        text += &format!("    Subject: {subject}\r\n");
    }
    if let ReversePath::Mailbox(from) = &message.reverse_path {
        text += &format!("    From:    {from}\r\n");
    }
    text += &format!("    Sent:    {}\r\n", date_time(message.queued_at));
    for told in notification.recipients {
        text += &format!("\r\n{}\r\n", told.recipient.forward_path);
        text += &reason(told, *news, provider, message.queued_at, notification.at);
    }
    if notification.content.is_none() {
        text += "\r\nThe message itself could not be read any more.\r\n";
    }
    text
}

fn reason(told: &Told, news: News, provider: &str, since: Timestamp, now: Timestamp) -> String {
    let answer = &told.answer;
    let mut text = String::new();
    if told.given_up {
        text += &format!("    It was tried for {}. The last time:\r\n", for_people(now.since(since)));
    }
    let code = |code: u16| match answer.enhanced {
        Some(enhanced) => format!("{code} {enhanced}"),
        None => code.to_string(),
    };
    match (answer.code, news) {
        (_, News::Relayed) => {}
        (0, _) => text += &format!("    {}\r\n", one_line(&answer.text)),
        (number, _) => {
            text += &format!("    {provider} said: {}", code(number));
            for line in answer.text.split('\n') {
                text += &format!(" {}\r\n   ", one_line(line));
            }
            text.truncate(text.trim_end_matches([' ', '\r', '\n']).len());
            text += "\r\n";
        }
    }
    text
}

fn subject_of(content: &[u8]) -> Option<String> {
    let body = mime::field_bodies(content, "Subject").into_iter().next()?;
    let subject = one_line(&mime::decode_words(&body));
    let subject: String = subject.trim().chars().take(MOST_OF_A_SUBJECT).collect();
    (!subject.is_empty()).then_some(subject)
}

pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn for_people(period: std::time::Duration) -> String {
    let (count, unit) = match period.as_secs() {
        seconds @ 0..120 => (seconds, "second"),
        seconds @ 120..7_200 => (seconds / 60, "minute"),
        seconds @ 7_200..172_800 => (seconds / 3_600, "hour"),
        seconds => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
