use std::ops::Range;

use crate::charset::Charset;

/// How the lines of a plain text part are to be read (RFC 3676).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextFormat {
    /// Each line is one.
    #[default]
    Fixed,
    /// `format=flowed`: a line that ends in a blank goes on in the next.
    Flowed,
    /// `format=flowed; delsp=yes`: and that blank is taken out, so a URL may go on too.
    FlowedDelSp,
}

/// A URL in plain text.
pub(crate) struct FoundUrl {
    pub(crate) range: Range<usize>,
    /// The words before it, on its line and the one above, back to the URL before: they say what it is for.
    pub(crate) before: Range<usize>,
    /// It may go on where we see its end: characters beyond ASCII, or a line that was broken.
    pub(crate) doubtful: bool,
}

/// The words before a URL are looked at no further back than this.
const BEFORE_OCTETS: usize = 400;

/// The URLs of a text, in order. `seen` is `text` as the scan may see it.
pub(crate) fn urls(
    seen: &[u8],
    text: &[u8],
    charset: Charset,
    format: TextFormat,
) -> impl Iterator<Item = FoundUrl> {
    let (mut at, mut last_end) = (0, 0);
    std::iter::from_fn(move || {
        let start = find_start(seen, at)?;
        // Where the two differ stand characters of two octets, masked: the URL does not go on in them.
        let run = seen[start..].iter().zip(&text[start..]);
        let run_end = start + run.take_while(|(octet, own)| octet == own && is_url_octet(**octet)).count();
        let end = start + without_punctuation(&seen[start..run_end], seen[..start].last().copied());
        at = run_end;
        let before = words_before(seen, start, last_end);
        last_end = end;
        let doubtful = goes_on(seen, text, run_end, end, charset, format);
        Some(FoundUrl { range: start..end, before, doubtful })
    })
}

/// The next `http://` or `https://` that is not the end of a longer word.
fn find_start(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr::memmem::find(&text[at..], b"://")?;
        let scheme = ["https", "http"].iter().find_map(|scheme| {
            let start = at.checked_sub(scheme.len()).filter(|start| *start >= from)?;
            text[start..at].eq_ignore_ascii_case(scheme.as_bytes()).then_some(start)
        });
        at += 3;
        match scheme {
            Some(start) if !text[from..start].last().is_some_and(u8::is_ascii_alphanumeric) => {
                return Some(start);
            }
            _ => {}
        }
    }
}

fn is_url_octet(octet: u8) -> bool {
    octet.is_ascii_graphic() && !matches!(octet, b'<' | b'>' | b'"' | b'`' | b'\\' | b'^')
}

/// The length without what belongs to the sentence: `https://example.com/a).` is a URL in brackets at its end.
fn without_punctuation(url: &[u8], before: Option<u8>) -> usize {
    let count = |end: usize, octet: u8| memchr::memchr_iter(octet, &url[..end]).count();
    let mut end = url.len();
    // Bounded: no text has more closing brackets in a row that matter, and each is counted over the URL.
    for _ in 0..32 {
        let Some(&last) = url[..end].last() else { break };
        let belongs = match last {
            b'.' | b',' | b';' | b':' | b'!' | b'?' | b'\'' => false,
            // *emphasis* and its like
            b'*' | b'_' | b'~' | b'|' => before != Some(last),
            b')' => count(end, b'(') >= count(end, b')'),
            b']' => count(end, b'[') >= count(end, b']'),
            b'}' => count(end, b'{') >= count(end, b'}'),
            _ => true,
        };
        if belongs {
            break;
        }
        end -= 1;
    }
    end
}

/// From the line above the URL's, but behind the URL before.
fn words_before(text: &[u8], start: usize, last_end: usize) -> Range<usize> {
    let from = last_end.max(start.saturating_sub(BEFORE_OCTETS));
    let lines = &text[from..start];
    let mut breaks = memchr::memrchr_iter(b'\n', lines);
    let above = breaks.nth(1).map_or(from, |at| from + at + 1);
    above..start
}

/// May the URL be longer than what was found?
fn goes_on(
    seen: &[u8],
    text: &[u8],
    run_end: usize,
    end: usize,
    charset: Charset,
    format: TextFormat,
) -> bool {
    let rest = &seen[run_end..];
    match rest {
        _ if end < run_end => false,
        // Letters of an international host or path; a typographic quote or an ideographic full stop ends it.
        [octet, ..] if !octet.is_ascii() || text[run_end] != *octet => {
            let length = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len()).min(16);
            let next = charset.decode_lossy(&text[run_end..run_end + length]);
            next.chars().next().is_some_and(|c| c.is_alphanumeric() || c == char::REPLACEMENT_CHARACTER)
        }
        [b' ', b'\r' | b'\n', ..] => format == TextFormat::FlowedDelSp,
        [b'\r' | b'\n', ..] => is_open_bracket(seen, run_end),
        _ => false,
    }
}

/// `<https://example.com/lo` and on the next line `ng>` (RFC 3986, appendix C).
fn is_open_bracket(text: &[u8], line_end: usize) -> bool {
    let line_start = memchr::memrchr(b'\n', &text[..line_end]).map_or(0, |at| at + 1);
    let line = &text[line_start..line_end];
    let bracket = memchr::memrchr(b'<', line);
    bracket.is_some_and(|at| memchr::memchr(b'>', &line[at..]).is_none())
}
