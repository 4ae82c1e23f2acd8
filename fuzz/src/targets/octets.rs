//! What an edit may do to the octets around it, encoding and all.

use std::ops::Range;

use mime::TransferEncoding;

/// One change: the octets it takes the place of, and those that stand there now, both decoded.
pub type Change = (Range<usize>, Range<usize>);

/// Outside the changes each octet is written as it was, with the same line breaks, so that undoing them gives the original again.
///
/// `changes` are in order; `old` and `new` are encoded.
pub fn stay(old: &[u8], new: &[u8], encoding: TransferEncoding, changes: &[Change]) {
    match encoding {
        TransferEncoding::SevenBit | TransferEncoding::EightBit | TransferEncoding::Binary => {
            for (was, is) in stretches(changes, old.len(), new.len()) {
                same(&old[was], &new[is], "unencoded");
            }
        }
        TransferEncoding::QuotedPrintable => quoted_printable(old, new, changes),
        TransferEncoding::Base64 => base64(old, new, changes),
    }
}

/// What stands between the changes.
fn stretches(changes: &[Change], old_end: usize, new_end: usize) -> Vec<(Range<usize>, Range<usize>)> {
    let (mut at, mut now_at, mut stretches) = (0, 0, vec![]);
    for (was, is) in changes.iter().cloned().chain([(old_end..old_end, new_end..new_end)]) {
        stretches.push((at..was.start, now_at..is.start));
        (at, now_at) = (was.end, is.end);
    }
    stretches
}

/// Soft breaks may be added where a change begins or ends, and a blank before one be protected.
fn quoted_printable(old: &[u8], new: &[u8], changes: &[Change]) {
    let (was, is) = (spans(old), spans(new));
    let stretches = stretches(changes, was.len(), is.len());
    let last = stretches.len() - 1;
    for (number, (before, after)) in stretches.into_iter().enumerate() {
        let (first, end) = (before.start, before.end);
        for (i, j) in before.zip(after) {
            let (written, now) = (&old[was[i].clone()], &new[is[j].clone()]);
            let is_blank = matches!(written, b" " | b"\t");
            // What a soft break is put behind, or before.
            let at_change = number < last && i + 1 == end;
            assert!(written == now || (at_change && is_blank), "{written:?} is written as {now:?}");
            // The one before a blank goes with it.
            let carried = number < last && i + 2 == end && matches!(old[was[i + 1].clone()], [b' ' | b'\t']);
            if i > first && !at_change && !carried {
                let gap = |text: &[u8], spans: &[Range<usize>], at: usize| {
                    text[spans[at - 1].end..spans[at].start].to_vec()
                };
                let place = format!("before octet {i} of {first}..{end}");
                same(&gap(old, &was, i), &gap(new, &is, j), &place);
            }
        }
        let untouched = number == last && end > first;
        if untouched {
            let (was, is) = (was[was.len() - 1].end, is[is.len() - 1].end);
            same(&old[was..], &new[is..], "behind the last octet");
        }
    }
    assert!(!changes.is_empty() || old == new, "no change, and other octets");
}

/// Where each decoded octet is written.
fn spans(encoded: &[u8]) -> Vec<Range<usize>> {
    let (mut spans, mut at) = (vec![], 0);
    for line in encoded.split_inclusive(|octet| *octet == b'\n') {
        let content = match line.strip_suffix(b"\n") {
            Some(content) => content.strip_suffix(b"\r").unwrap_or(content),
            None => line,
        };
        let blanks = content.iter().rev().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
        let text = &content[..content.len() - blanks];
        let (text, soft) = text.strip_suffix(b"=").map_or((text, false), |text| (text, true));
        let mut column = 0;
        while column < text.len() {
            let is_hex = text[column] == b'='
                && text.get(column + 1..column + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
            let length = if is_hex { 3 } else { 1 };
            spans.push(at + column..at + column + length);
            column += length;
        }
        if !soft {
            spans.extend((content.len()..line.len()).map(|column| at + column..at + column + 1));
        }
        at += line.len();
    }
    spans
}

/// Up to the group of the first change nothing moves; behind the last one the groups are the same where they can be.
fn base64(old: &[u8], new: &[u8], changes: &[Change]) {
    let (Some((first, _)), Some((was, is))) = (changes.first(), changes.last()) else {
        return same(old, new, "no change");
    };
    let letters = |text: &[u8]| -> Vec<usize> {
        (0..text.len()).filter(|at| !text[*at].is_ascii_whitespace()).collect()
    };
    let (before, after) = (letters(old), letters(new));
    let group = first.start / 3 * 4;
    let end = |letters: &[usize], text: &[u8]| letters.get(group).copied().unwrap_or(text.len());
    let (was_end, is_end) = (end(&before, old), end(&after, new));
    same(old[..was_end].trim_ascii_end(), new[..is_end].trim_ascii_end(), "before the first change");
    // A part that is padded in its midst is of two texts, whose groups do not count on.
    let whole = |text: &[u8], letters: &[usize]| {
        letters.len().is_multiple_of(4) && !letters.iter().rev().skip(2).any(|at| text[*at] == b'=')
    };
    if was.end % 3 == is.end % 3 && whole(old, &before) && whole(new, &after) {
        let rest = |text: &[u8], letters: &[usize], end: usize| -> Vec<u8> {
            let group = (end.div_ceil(3) * 4).min(letters.len());
            letters[group..].iter().map(|at| text[*at]).collect()
        };
        same(&rest(old, &before, was.end), &rest(new, &after, is.end), "behind the last change");
    }
}

fn same(was: &[u8], is: &[u8], place: &str) {
    let at = was.iter().zip(is).take_while(|(was, is)| was == is).count();
    let shown = |text: &[u8]| text[at..text.len().min(at + 80)].escape_ascii().to_string();
    assert!(was == is, "{place}: at {at}: {:?} became {:?}", shown(was), shown(is));
}
