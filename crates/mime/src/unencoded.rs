use std::ops::Range;

use crate::SpliceError;
use crate::line::{Line, LineCursor, MAX_LINE_OCTETS};
use crate::splice::Change;

/// Writes text that is not encoded, with the changes in it, behind `out`.
///
/// Nothing can be broken here, so it refuses if a line passes 998 octets by a change; one that had passed
/// them before may grow.
pub(crate) fn splice(out: &mut Vec<u8>, text: &[u8], changes: &[Change<'_>]) -> Result<(), SpliceError> {
    let before = out.len();
    let mut lines = LineCursor::new(text);
    let mut written = Vec::with_capacity(changes.len());
    let mut copied = 0;
    for change in changes {
        out.extend_from_slice(&text[copied..change.range.start]);
        let start = out.len() - before;
        out.extend_from_slice(change.replacement);
        copied = change.range.end;
        let first_line = lines.line(change.range.start).content.len();
        let last_line = lines.line(copied).content.len();
        written.push(Written {
            edit: change.edit,
            range: start..out.len() - before,
            replaced: change.range.len(),
            joins: text[change.range.clone()].contains(&b'\n'),
            had_passed: first_line.max(last_line) > MAX_LINE_OCTETS,
        });
    }
    out.extend_from_slice(&text[copied..]);
    match newly_too_long(&out[before..], &written) {
        Some(edit) => Err(SpliceError::LineTooLong { edit }),
        None => Ok(()),
    }
}

/// A change, where it stands in the result.
struct Written {
    edit: usize,
    range: Range<usize>,
    /// Octets that it stands in the place of.
    replaced: usize,
    /// A line end among them.
    joins: bool,
    /// Its line had been too long before.
    had_passed: bool,
}

impl Written {
    /// Octets by which it made the line longer that it begins in. What it holds behind a line end counts for later lines.
    fn growth(&self, line: &Line) -> usize {
        let here = self.range.end.min(line.content.end);
        here.saturating_sub(self.range.start).saturating_sub(self.replaced)
    }
}

/// The edit that takes a line of the finished text over 998 octets: a longer link counts together with the pixel
/// that went from the same line.
fn newly_too_long(text: &[u8], written: &[Written]) -> Option<usize> {
    let mut lines = LineCursor::new(text);
    let mut first = 0;
    while let Some(change) = written.get(first) {
        let line = lines.line(change.range.start).clone();
        let on_line =
            written[first..].iter().take_while(|change| change.range.start <= line.content.end).count();
        let on_line = &written[first..first + on_line.max(1)];
        if let Some(edit) = blamed(&line, on_line) {
            return Some(edit);
        }
        // A replacement may go on over several lines, the last of which holds what follows it.
        let last = on_line.last()?;
        if last.range.end > line.content.end {
            let end_line = lines.line(last.range.end).clone();
            let inner =
                text[last.range.clone()].split(|octet| *octet == b'\n').map(<[u8]>::len).max().unwrap_or(0);
            if !last.had_passed && inner.max(end_line.content.len()) > MAX_LINE_OCTETS {
                return Some(last.edit);
            }
        }
        first += on_line.len();
    }
    None
}

fn blamed(line: &Line, on_line: &[Written]) -> Option<usize> {
    if line.content.len() <= MAX_LINE_OCTETS || on_line.iter().any(|change| change.had_passed) {
        return None;
    }
    let growth: usize = on_line.iter().map(|change| change.growth(line)).sum();
    let mut length = line.content.len().saturating_sub(growth);
    let passes = |change: &&Written| {
        length += change.growth(line);
        // Where two lines become one, an edit that adds nothing is not to blame, be it the first.
        length > MAX_LINE_OCTETS && (change.growth(line) > 0 || change.joins)
    };
    on_line.iter().find(passes).or(on_line.last()).map(|change| change.edit)
}

#[cfg(test)]
mod tests {
    use crate::{Edit, SpliceError, TransferEncoding};

    #[test]
    fn no_line_newly_passes_998_octets() {
        let x = |count: usize| "x".repeat(count);
        let too_long = |edit| Err(SpliceError::LineTooLong { edit });
        for (case, text, edits, expected) in [
            ("to the last octet", x(997) + "\r\n", vec![(5..5, "u")], Ok(())),
            ("one too many", x(998) + "\r\n", vec![(5..5, "u")], too_long(0)),
            ("had passed before", x(999), vec![(5..5, "u")], Ok(())),
            ("another line", x(998) + "\r\ny", vec![(1000..1000, "u")], Ok(())),
            ("line end of one octet", x(998) + "\ny\n", vec![(1..1, "u")], too_long(0)),
            ("the second passes", x(996), vec![(5..5, "u"), (9..9, "uu")], too_long(1)),
            ("counted as they were given", x(996), vec![(9..9, "uu"), (5..5, "u")], too_long(0)),
            ("two lines joined", x(600) + "\r\n" + &x(600), vec![(600..602, "")], too_long(0)),
            (
                "two lines joined behind a change that adds nothing",
                x(600) + "\r\n" + &x(600),
                vec![(5..6, "u"), (600..602, "\r")],
                too_long(1),
            ),
            ("longer, and shorter behind it", x(990), vec![(5..5, "123456789"), (900..980, "")], Ok(())),
            ("a line end written", x(998), vec![(500..500, "u\r\nu")], Ok(())),
            (
                "a line end written behind one too many",
                x(998),
                vec![(5..5, "u"), (998..998, &*("\r\n".to_owned() + &x(600)))],
                too_long(0),
            ),
            ("a line end in a long replacement", x(10), vec![(5..5, &*(x(995) + "\r\nu"))], too_long(0)),
        ] {
            let encoding = TransferEncoding::EightBit;
            let decoded = crate::decode(text.as_bytes(), encoding).unwrap();
            let edits: Vec<Edit<'_>> = edits
                .iter()
                .map(|(range, text)| Edit { range: range.clone(), replacement: text.as_bytes() })
                .collect();
            assert_eq!(crate::splice(text.as_bytes(), &decoded, &edits).map(drop), expected, "{case}");
        }
    }
}
