use envelope::Timestamp;
use jiff::tz::TimeZone;

/// Prints a line. Somebody who closed our output ("| head") is no reason to end.
pub(crate) fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// `2026-11-24 09:31:02` in this computer's zone.
pub(crate) fn local_time(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.unix_millis())
        .map(|at| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string())
        .unwrap_or_default()
}

/// Subjects, addresses and URLs are other people's text: no control character of theirs reaches the terminal, nor one
/// that turns the direction of the text behind it.
pub(crate) fn printable(text: &str) -> String {
    let harmless = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
    };
    text.chars().map(|c| if harmless(c) { c } else { '?' }).collect()
}

/// The text, cut to `width` characters with a sign that it was.
pub(crate) fn shortened(text: &str, width: usize) -> String {
    let text = printable(text);
    if text.chars().count() <= width {
        return text;
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}
