use std::collections::BTreeMap;
use std::ops::Range;

/// The text of the file, and which of its octets may be shown.
///
/// Nothing may be shown until someone said so with [`Source::allow`]: a secret that nobody thought of
/// stays unseen.
#[derive(Debug)]
pub(super) struct Source<'t> {
    text: &'t str,
    line_starts: Vec<usize>,
    /// From where to where.
    harmless: BTreeMap<usize, usize>,
}

/// A place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The line, unless it is better not seen.
    pub shown: Option<Shown>,
}

/// A line as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// The line; what may not be seen is `…`, comments are gone.
    pub text: String,
    /// What is pointed at, in octets of `text`.
    pub caret: Range<usize>,
}

impl Place {
    /// In place of a line that is better not seen: nothing, and `…` where to look.
    pub(super) fn unseen(&self) -> Shown {
        let before = self.column.saturating_sub(1).min(LONGEST_LINE_SHOWN);
        let text = " ".repeat(before) + "…";
        Shown { caret: before..text.len(), text }
    }
}

/// A longer line tells nobody where to look.
const LONGEST_LINE_SHOWN: usize = 400;

impl<'t> Source<'t> {
    /// Nothing of `text` may be shown yet.
    pub(super) fn new(text: &'t str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, octet)| *octet == b'\n').map(|(at, _)| at + 1);
        Self { text, line_starts: std::iter::once(0).chain(ends).collect(), harmless: BTreeMap::new() }
    }

    /// `span` may be shown. Only what stands on one line ever is: text over several lines may have
    /// swallowed its neighbours because a quotation mark is missing.
    pub(super) fn allow(&mut self, span: Range<usize>) {
        if self.text.get(span.clone()).is_some_and(|text| !text.contains(['\n', '\r'])) {
            self.harmless.insert(span.start, span.end);
        }
    }

    /// The key at `span` may be shown, and what stands before it on its line if that is only a part of
    /// `path`, the names of the tables that hold it: `[upstream.` before `team`.
    pub(super) fn allow_key(&mut self, span: Range<usize>, path: &str) {
        let begin = self.text.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
        let before = self.text.get(begin..span.start).unwrap_or_default();
        let names = before.trim_start().trim_start_matches('[');
        if !names.is_empty() && format!("{path}.").ends_with(names) {
            self.allow(span.start - names.len()..span.start);
        }
        self.allow(span);
    }

    /// Does `text` stand at `span`?
    pub(super) fn holds(&self, span: &Range<usize>, text: &str) -> bool {
        self.text.get(span.clone()) == Some(text)
    }

    /// Where `span` begins.
    pub(super) fn place(&self, span: &Range<usize>) -> Place {
        let start = span.start.min(self.text.len());
        let line = self.line_starts.partition_point(|begin| *begin <= start);
        let begin = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let column = self.text.get(begin..start).map_or(0, |before| before.chars().count()) + 1;
        Place { line, column, shown: self.shown(begin, &(start..span.end.max(start))) }
    }

    fn shown(&self, begin: usize, span: &Range<usize>) -> Option<Shown> {
        let rest = self.text.get(begin..)?;
        let line = &rest[..rest.find('\n').unwrap_or(rest.len())];
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.len() > LONGEST_LINE_SHOWN || self.harmless.is_empty() {
            return None;
        }
        let end = begin + line.len();
        let harmless = self.harmless.range(begin..end).map(|(start, end)| *start..*end);

        let mut shown = Shown { text: String::new(), caret: span.start - begin..span.end.min(end) - begin };
        let mut at = begin;
        let mut masked_from = None;
        for next in harmless.chain(std::iter::once(end..end)) {
            if next.start < at {
                continue;
            }
            let gap = &self.text[at..next.start];
            match gap.find(|c: char| !is_punctuation(c)) {
                None => shown.text += gap,
                // Between values there is nothing else that the grammar allows.
                Some(comment) if gap[comment..].starts_with('#') => {
                    shown.text += gap[..comment].trim_end();
                    break;
                }
                Some(secret) => {
                    shown.text += &gap[..secret];
                    masked_from.get_or_insert((at + secret, shown.text.len()));
                    shown.text.push('…');
                    shown.text.push_str(if next.start < end { " " } else { "" });
                }
            }
            shown.text += &self.text[next.clone()];
            at = next.end;
        }
        if let Some((from, written)) = masked_from {
            // A caret after something masked would stand in the wrong column.
            if from < span.start {
                return None;
            }
            if from < span.end {
                shown.caret.end = written + '…'.len_utf8();
            }
        }
        shown.caret.end = shown.caret.end.clamp(shown.caret.start, shown.text.len().max(shown.caret.start));
        Some(shown)
    }
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_whitespace() || "[]{},=.".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line as it is shown, and what the caret is under.
    type Seen = Option<(String, String)>;

    /// Shows the line of `text` that holds `target` when only the texts of `allowed` may be seen.
    fn shown(text: &str, allowed: &[&str], target: &str) -> Seen {
        let mut source = Source::new(text);
        for part in allowed {
            let at = text.find(part).unwrap();
            source.allow(at..at + part.len());
        }
        let at = text.find(target).unwrap();
        let shown = source.place(&(at..at + target.len())).shown?;
        Some((shown.text.clone(), shown.text[shown.caret].to_owned()))
    }

    #[test]
    fn only_what_is_allowed_is_shown() {
        let both = |line: &str, caret: &str| Some((line.to_owned(), caret.to_owned()));
        let inline = "up = { one = 1, pw = \"secret\", two = 2 }";
        let names = ["up", "one", "1", "pw", "two", "2"];
        let table: &[(&str, &[&str], &str, Seen)] = &[
            ("a = 1\nhost = 5\n", &["host", "5"], "host", both("host = 5", "host")),
            ("host = 5\r\n", &["host", "5"], "5", both("host = 5", "5")),
            ("host = 5 # secret", &["host", "5"], "5", both("host = 5", "5")),
            ("pass = \"secret\"", &["pass"], "pass", both("pass = …", "pass")),
            ("pass = \"secret\"", &["pass"], "\"secret\"", both("pass = …", "…")),
            ("pass = \"se#ret\"", &["pass"], "pass", both("pass = …", "pass")),
            ("pass = \"sec=,.[]ret\" # x", &["pass"], "pass", both("pass = …", "pass")),
            (inline, &names, "one", both("up = { one = 1, pw = … two = 2 }", "one")),
            (inline, &names, "\"secret\"", both("up = { one = 1, pw = … two = 2 }", "…")),
            // The caret could not stand in its column.
            (inline, &names, "two", None),
            ("pass = \"secret\"", &[], "pass", None),
            ("x = \"\"\"\nsecret\"\"\"", &["x", "\"\"\"\nsecret\"\"\""], "\"\"\"", both("x = …", "…")),
        ];
        for (text, allowed, target, expected) in table {
            assert_eq!(shown(text, allowed, target), *expected, "{text:?} at {target:?}");
        }
    }

    #[test]
    fn places_are_counted_in_lines_and_characters() {
        let source = Source::new("ä = 1\n  ö = \"x\"\n");
        for (span, expected) in [
            (0..2, (1, 1)),
            (5..6, (1, 5)),
            (9..11, (2, 3)),
            (14..17, (2, 7)),
            (18..18, (3, 1)),
            (90..99, (3, 1)),
        ] {
            let place = source.place(&span);
            assert_eq!((place.line, place.column), expected, "{span:?}");
        }
    }
}
