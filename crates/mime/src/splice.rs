use std::ops::Range;

use memchr::memmem;

use crate::receiver::Comparison;
use crate::transfer_encoding::decode_to;
use crate::{Decoded, TransferEncoding, base64_body, quoted_printable, unencoded};

/// One change to a decoded body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit<'a> {
    /// The octets to replace, in [`Decoded::octets`]; empty for an insertion.
    pub range: Range<usize>,
    /// What stands there afterwards, not encoded.
    pub replacement: &'a [u8],
}

/// Why a body was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpliceError {
    /// A line would newly pass 998 octets (RFC 5322 §2.1.1).
    #[error("edit {edit} would make a line longer than 998 octets")]
    LineTooLong {
        /// Index, in the slice given, of the edit by which the line passes them: without it the others may fit.
        edit: usize,
    },
    /// The result does not read back as intended, or `decoded` is not what `encoded` decodes to.
    #[error("the changed body does not read back as intended")]
    SelfCheckFailed,
    /// A line would begin as a delimiter does that did not, and the part might end there.
    #[error("a line of the changed body would begin as a delimiter does")]
    LikeDelimiter,
    /// Two edits change the same octets.
    #[error("two edits overlap")]
    Overlap,
    /// An edit reaches beyond the body.
    #[error("edit {edit} reaches beyond the body")]
    OutOfRange {
        /// Index of the edit in the slice given.
        edit: usize,
    },
    /// An edit begins or ends between the CR and the LF of a line end, and would leave one of them bare.
    #[error("edit {edit} cuts a line end in two")]
    CutsLineEnd {
        /// Index of the edit in the slice given.
        edit: usize,
    },
    /// An empty body may have no line of its own: its blank line can be the one that belongs to the delimiter.
    #[error("the body is empty")]
    EmptyBody,
}

/// An edit that changes something, in its place in the order.
pub(crate) struct Change<'a> {
    /// Index of the edit as it was given.
    pub(crate) edit: usize,
    pub(crate) range: Range<usize>,
    pub(crate) replacement: &'a [u8],
}

/// Writes edits into an encoded body, in its own encoding.
///
/// `decoded` is what [`decode`](crate::decode) made of `encoded`. Returns the new encoded body. Octets outside the edited lines
/// are those of `encoded`; for base64, where the length changes by no multiple of three, those behind the
/// edit are encoded anew and decode to the same. Without edits, or with edits that change nothing, the result is `encoded`.
/// Edits may come in any order; of two insertions at one place the first given comes first.
///
/// The result is decoded again and compared with the edited text before it is returned, and has no more lines that begin as a
/// delimiter does.
pub fn splice(encoded: &[u8], decoded: &Decoded, edits: &[Edit<'_>]) -> Result<Vec<u8>, SpliceError> {
    let added: usize = edits.iter().map(|edit| edit.replacement.len()).sum();
    let mut out = Vec::with_capacity(encoded.len() + added * 3 / 2);
    splice_into(&mut out, encoded, decoded, edits).map(|()| out)
}

/// [`splice`], with the result written behind what `out` holds: a message need not be copied together from its parts. After
/// an error `out` is as it was.
pub fn splice_into(
    out: &mut Vec<u8>,
    encoded: &[u8],
    decoded: &Decoded,
    edits: &[Edit<'_>],
) -> Result<(), SpliceError> {
    if encoded.len() != decoded.encoded_octets {
        return Err(SpliceError::SelfCheckFailed);
    }
    let changes = in_order(decoded, edits)?;
    if changes.is_empty() {
        out.extend_from_slice(encoded);
        return Ok(());
    }
    if encoded.is_empty() {
        return Err(SpliceError::EmptyBody);
    }
    let before = out.len();
    let spliced = write(out, encoded, decoded, &changes)
        .and_then(|()| check(&out[before..], encoded, decoded, &changes));
    if spliced.is_err() {
        out.truncate(before);
    }
    spliced
}

fn write(
    out: &mut Vec<u8>,
    encoded: &[u8],
    decoded: &Decoded,
    changes: &[Change<'_>],
) -> Result<(), SpliceError> {
    match decoded.encoding {
        TransferEncoding::SevenBit | TransferEncoding::EightBit | TransferEncoding::Binary => {
            return unencoded::splice(out, encoded, changes);
        }
        TransferEncoding::QuotedPrintable => quoted_printable::splice(out, encoded, decoded, changes),
        TransferEncoding::Base64 => base64_body::splice(out, encoded, decoded, changes),
    }
    Ok(())
}

/// Decodes the result and compares every octet with the edited text.
fn check(
    spliced: &[u8],
    encoded: &[u8],
    decoded: &Decoded,
    changes: &[Change<'_>],
) -> Result<(), SpliceError> {
    let mut comparison = Comparison::with(edited(&decoded.octets, changes));
    let read_back = decode_to(&mut comparison, spliced, decoded.encoding);
    if read_back.is_err() || !comparison.ends_the_same() {
        return Err(SpliceError::SelfCheckFailed);
    }
    if lines_like_delimiters(spliced) > lines_like_delimiters(encoded) {
        return Err(SpliceError::LikeDelimiter);
    }
    Ok(())
}

/// Lines that begin as a delimiter does (RFC 2046 §5.1.1). An edit must never make one more: that alone could change
/// which part is which.
fn lines_like_delimiters(encoded: &[u8]) -> usize {
    usize::from(encoded.starts_with(b"--")) + memmem::find_iter(encoded, b"\n--").count()
}

/// The edits that change something, by position.
fn in_order<'a>(decoded: &Decoded, edits: &[Edit<'a>]) -> Result<Vec<Change<'a>>, SpliceError> {
    let mut changes = Vec::with_capacity(edits.len());
    for (edit, Edit { range, replacement }) in edits.iter().enumerate() {
        let octets = decoded.octets.as_slice();
        let replaced = octets.get(range.clone()).ok_or(SpliceError::OutOfRange { edit })?;
        let cuts = |at: usize| octets[..at].ends_with(b"\r") && octets[at..].starts_with(b"\n");
        // Base64 has no line ends of the text in it.
        if decoded.encoding != TransferEncoding::Base64 && (cuts(range.start) || cuts(range.end)) {
            return Err(SpliceError::CutsLineEnd { edit });
        }
        if replaced != *replacement {
            changes.push(Change { edit, range: range.clone(), replacement });
        }
    }
    changes.sort_by_key(|change| (change.range.start, change.range.end));
    let overlap = changes.windows(2).any(|pair| pair[0].range.end > pair[1].range.start);
    if overlap { Err(SpliceError::Overlap) } else { Ok(changes) }
}

/// The text with the changes made, in pieces.
fn edited<'a>(before: &'a [u8], changes: &'a [Change<'_>]) -> impl Iterator<Item = &'a [u8]> {
    let starts = std::iter::once(0).chain(changes.iter().map(|change| change.range.end));
    let ends = changes.iter().map(|change| change.range.start).chain([before.len()]);
    let kept = starts.zip(ends).map(|(start, end)| &before[start..end]);
    let replacements = changes.iter().map(|change| change.replacement).chain([b"".as_slice()]);
    kept.zip(replacements).flat_map(|(kept, replacement)| [kept, replacement])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    #[test]
    fn odd_edits_are_refused() {
        let encoded = b"abc\r\n";
        let decoded = decode(encoded, TransferEncoding::SevenBit).unwrap();
        let spliced = |edits: &[(Range<usize>, &str)]| {
            let edits: Vec<Edit<'_>> = edits
                .iter()
                .map(|(range, text)| Edit { range: range.clone(), replacement: text.as_bytes() })
                .collect();
            splice(encoded, &decoded, &edits).map(|result| String::from_utf8(result).unwrap())
        };
        for (case, edits, expected) in [
            ("none", vec![], Ok("abc\r\n")),
            ("without effect", vec![(1..1, ""), (0..2, "ab")], Ok("abc\r\n")),
            ("in any order", vec![(2..3, "z"), (0..1, "x")], Ok("xbz\r\n")),
            ("insertions in the order given", vec![(1..1, "x"), (1..1, "y")], Ok("axybc\r\n")),
            ("an insertion before a replacement", vec![(1..2, "x"), (1..1, "y")], Ok("ayxc\r\n")),
            ("overlap", vec![(0..2, "x"), (1..3, "y")], Err(SpliceError::Overlap)),
            ("twice the same octets", vec![(0..2, "x"), (0..2, "y")], Err(SpliceError::Overlap)),
            ("an insertion inside", vec![(0..2, "x"), (1..1, "y")], Err(SpliceError::Overlap)),
            ("into a line end", vec![(4..4, "x")], Err(SpliceError::CutsLineEnd { edit: 0 })),
            ("from a line end", vec![(0..1, "x"), (4..5, "")], Err(SpliceError::CutsLineEnd { edit: 1 })),
            ("half a line end", vec![(3..4, "")], Err(SpliceError::CutsLineEnd { edit: 0 })),
            ("a whole line end", vec![(3..5, "")], Ok("abc")),
            ("too far", vec![(0..1, "x"), (2..6, "y")], Err(SpliceError::OutOfRange { edit: 1 })),
            #[allow(clippy::reversed_empty_ranges, reason = "that is the case")]
            ("backwards", vec![(2..1, "x")], Err(SpliceError::OutOfRange { edit: 0 })),
        ] {
            assert_eq!(spliced(&edits), expected.map(str::to_owned), "{case}");
        }
    }

    #[test]
    fn nothing_is_written_into_an_empty_body() {
        let decoded = decode(b"", TransferEncoding::SevenBit).unwrap();
        let edits = [Edit { range: 0..0, replacement: b"x" }];
        assert_eq!(splice(b"", &decoded, &edits), Err(SpliceError::EmptyBody));
        assert_eq!(splice(b"", &decoded, &[]), Ok(vec![]));
    }

    #[test]
    fn no_line_like_a_delimiter_is_made() {
        let spliced = |encoded: &[u8], range, replacement| {
            let decoded = decode(encoded, TransferEncoding::SevenBit).unwrap();
            splice(encoded, &decoded, &[Edit { range, replacement }])
        };
        for (case, encoded, range, replacement, expected) in [
            ("a line of its own", "a\r\nb\r\n", 3..3, "--b", Err(SpliceError::LikeDelimiter)),
            ("the first line", "a", 0..0, "--", Err(SpliceError::LikeDelimiter)),
            ("half of it was there", "a\r\n-b\r\n", 3..3, "-", Err(SpliceError::LikeDelimiter)),
            ("one for another", "a\r\n--b\r\n", 3..6, "--c", Ok("a\r\n--c\r\n")),
            ("one less", "--a", 0..1, "", Ok("-a")),
        ] {
            let result = spliced(encoded.as_bytes(), range, replacement.as_bytes());
            assert_eq!(result, expected.map(|text| text.as_bytes().to_vec()), "{case}");
        }
    }

    #[test]
    fn another_body_than_was_decoded_is_noticed() {
        let decoded = decode(b"a=3Db c", TransferEncoding::QuotedPrintable).unwrap();
        let edits = [Edit { range: 4..5, replacement: b"x" }];
        assert_eq!(splice(b"a=3Db x", &decoded, &edits), Ok(b"a=3Db x".to_vec()));
        assert_eq!(splice(b"a=3Dx c", &decoded, &edits), Err(SpliceError::SelfCheckFailed));
        assert_eq!(splice(b"a=3Db", &decoded, &edits), Err(SpliceError::SelfCheckFailed));
    }

    #[test]
    fn a_stray_equals_sign_that_comes_to_mean_something_is_noticed() {
        let decoded = decode(b"a=xyz", TransferEncoding::QuotedPrintable).unwrap();
        let edits = [Edit { range: 2..4, replacement: b"41" }];
        assert_eq!(splice(b"a=xyz", &decoded, &edits), Err(SpliceError::SelfCheckFailed));
    }
}
