use memchr::memrchr;

use crate::SpliceError;
use crate::line::{LineCursor, MAX_LINE_OCTETS};
use crate::splice::Change;

/// Writes the changes into text that is not encoded.
///
/// Nothing can be broken here, so it refuses if a line passes 998 octets by a change; one that had passed
/// them before may grow.
pub(crate) fn splice(text: &[u8], changes: &[Change<'_>]) -> Result<Vec<u8>, SpliceError> {
    let added: usize = changes.iter().map(|change| change.replacement.len()).sum();
    let mut out = Vec::with_capacity(text.len() + added);
    let mut lines = LineCursor::new(text);
    let (mut copied, mut line_start) = (0, 0);
    for change in changes {
        let unchanged = &text[copied..change.range.start];
        if let Some(lf) = memrchr(b'\n', unchanged) {
            line_start = out.len() + lf + 1;
        }
        out.extend_from_slice(unchanged);
        out.extend_from_slice(change.replacement);
        copied = change.range.end;
        let first_line = lines.line(change.range.start).content.len();
        let last_line = lines.line(copied).content.clone();
        // As long as the line would be if no other change followed.
        let rest = last_line.end.saturating_sub(copied);
        let passed_before = first_line.max(last_line.len()) > MAX_LINE_OCTETS;
        if !passed_before && longest_line(&out[line_start..], rest) > MAX_LINE_OCTETS {
            return Err(SpliceError::LineTooLong { edit: change.edit });
        }
        if let Some(lf) = memrchr(b'\n', change.replacement) {
            line_start = out.len() - change.replacement.len() + lf + 1;
        }
    }
    out.extend_from_slice(&text[copied..]);
    Ok(out)
}

/// Octets of the longest line of `text`, to whose last line `rest` octets more belong.
fn longest_line(text: &[u8], rest: usize) -> usize {
    let mut lines = text.split(|&octet| octet == b'\n');
    let last = lines.next_back().map_or(0, <[u8]>::len) + rest;
    lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line).len()).fold(last, usize::max)
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
            ("a line end written", x(998), vec![(500..500, "u\r\nu")], Ok(())),
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
