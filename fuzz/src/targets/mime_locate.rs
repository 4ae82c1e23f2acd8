use std::borrow::Cow;

use mime::{Edit, TextPart};

use super::reference;

/// Locates the parts of any message: their ranges lie inside it, in order and apart; each part spliced with nothing is the
/// part; header fields lie inside the message, and those taken out are out.
pub fn mime_locate(raw: &[u8]) {
    let located = mime::locate(raw);
    if located.sealed.is_some() {
        assert!(
            located.html.is_empty() && located.plain.is_empty(),
            "a part of a sealed message may be changed"
        );
    }
    in_order_and_apart(&located.html);
    in_order_and_apart(&located.plain);
    let mut parts: Vec<&TextPart> = located.html.iter().chain(&located.plain).collect();
    parts.sort_by_key(|part| part.body.start);
    assert!(parts.windows(2).all(|pair| pair[0].body.end <= pair[1].body.start), "parts overlap: {parts:?}");
    for part in parts {
        let encoded = raw.get(part.body.clone()).expect("a part lies inside its message");
        let paths = located.html.iter().chain(&located.plain).map(|other| &other.path);
        let paths = paths.chain(located.left.iter().map(|left| &left.path));
        assert_eq!(paths.filter(|path| **path == part.path).count(), 1, "two parts are {}", part.path);
        reads_back(encoded, part);
    }
    header(raw);
}

fn in_order_and_apart(parts: &[TextPart]) {
    assert!(parts.windows(2).all(|pair| pair[0].body.end <= pair[1].body.start), "not in order: {parts:?}");
}

fn reads_back(encoded: &[u8], part: &TextPart) {
    let Ok(decoded) = mime::decode(encoded, part.encoding) else { return };
    assert_eq!(Some(&decoded.octets), reference::decode(encoded, part.encoding).as_ref());
    assert_eq!(mime::splice(encoded, &decoded, &[]).as_deref(), Ok(encoded), "no edit, and a change");
    let whole = Edit { range: 0..decoded.octets.len(), replacement: &decoded.octets };
    assert_eq!(
        mime::splice(encoded, &decoded, &[whole]).as_deref(),
        Ok(encoded),
        "the same text, and a change"
    );
}

fn header(raw: &[u8]) {
    let end = mime::header_end(raw);
    assert!(end <= raw.len());
    let (mut at, fields) = (0, mime::header_fields(raw));
    for field in &fields {
        assert!(at <= field.whole.start && field.whole.end <= raw.len(), "fields overlap: {fields:?}");
        assert!(field.whole.start == field.name.start, "a field begins with its name");
        assert!(field.name.end < field.body.start && field.body.end <= field.whole.end, "{field:?}");
        at = field.whole.end;
    }
    for name in ["Content-Type", "Subject", "DKIM-Signature", "X-Waxseal-Track"] {
        let bodies = mime::field_bodies(raw, name);
        for body in &bodies {
            let _ = mime::decode_words(body);
        }
        let without = mime::remove_fields(raw, &[name]);
        assert_eq!(matches!(without, Cow::Borrowed(_)), bodies.is_empty());
        assert_eq!(mime::field_bodies(&without, name), Vec::<String>::new(), "{name} is still there");
    }
}
