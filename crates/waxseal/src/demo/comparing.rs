use console::{Change, Comparison, Piece};
use similar::{ChangeTag, TextDiff};

/// A part of a message to show: decoded, for a person to read.
pub(crate) fn readable(content: &[u8]) -> String {
    let located = mime::locate(content);
    let part = located.html.first().or(located.plain.first());
    part.and_then(|part| mime::decode(&content[part.body.clone()], part.encoding).ok())
        .map(|decoded| String::from_utf8_lossy(&decoded.octets).replace("\r\n", "\n"))
        .unwrap_or_default()
}

/// The decoded HTML of a message, as its recipient's mail program would show it.
pub(crate) fn html(content: &[u8]) -> Option<String> {
    let located = mime::locate(content);
    let part = located.html.first()?;
    let decoded = mime::decode(&content[part.body.clone()], part.encoding).ok()?;
    Some(String::from_utf8_lossy(&decoded.octets).into_owned())
}

/// Both texts, cut where they differ.
pub(crate) fn compare(written: &str, passed_on: &str) -> Comparison {
    let diff = TextDiff::from_words(written, passed_on);
    let mut comparison = Comparison { written: vec![], passed_on: vec![], changes: 0 };
    let mut in_change = false;
    for change in diff.iter_all_changes() {
        let text = change.value();
        match change.tag() {
            ChangeTag::Equal => {
                push(&mut comparison.written, Change::Same, text);
                push(&mut comparison.passed_on, Change::Same, text);
            }
            ChangeTag::Delete => push(&mut comparison.written, Change::Removed, text),
            ChangeTag::Insert => push(&mut comparison.passed_on, Change::Added, text),
        }
        let changed = change.tag() != ChangeTag::Equal;
        comparison.changes += usize::from(changed && !in_change);
        in_change = changed;
    }
    comparison
}

/// One text only: the other was never seen here.
pub(crate) fn only_passed_on(passed_on: String) -> Comparison {
    let passed_on = vec![Piece { change: Change::Same, text: passed_on }];
    Comparison { written: vec![], passed_on, changes: 0 }
}

fn push(pieces: &mut Vec<Piece>, change: Change, text: &str) {
    match pieces.last_mut() {
        Some(last) if last.change == change => last.text.push_str(text),
        _ => pieces.push(Piece { change, text: text.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_changes_are_marked_on_their_side() {
        let comparison = compare("<a href=\"x\">one</a> two", "<a href=\"y\">one</a> two <img>");
        assert_eq!(comparison.changes, 2);
        let text = |pieces: &[Piece], marked: Change| -> String {
            pieces.iter().filter(|piece| piece.change == marked).map(|piece| piece.text.as_str()).collect()
        };
        assert_eq!(text(&comparison.written, Change::Removed), "href=\"x\">one</a>");
        assert_eq!(text(&comparison.passed_on, Change::Added), "href=\"y\">one</a> <img>");
    }
}
