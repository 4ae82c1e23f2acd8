use std::ops::Range;
use std::time::{Duration, Instant};

use console::{Comparison, Mark, Stretch};
use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};

/// Longer texts are not compared: nobody would read them to the end on this page.
const COMPARED_OCTETS: usize = 1 << 20;
/// A worse comparison is better than a page that does not come.
const PATIENCE: Duration = Duration::from_millis(500);
/// What stays of a long stretch without changes, on the side of each change.
const CONTEXT: usize = 500;
/// What is longer is no tag: one that never ends would be looked for again and again.
const TAG_OCTETS: usize = 16_384;

/// What a message shows, for a person to read: decoded, all its HTML parts, or its plain text.
pub(crate) fn readable(content: &[u8]) -> String {
    let located = mime::locate(content);
    let parts = if located.html.is_empty() { &located.plain } else { &located.html };
    let text = if located.sealed.is_some() {
        String::from_utf8_lossy(&content[mime::header_end(content)..]).into_owned()
    } else {
        shown(content, parts)
    };
    text.replace("\r\n", "\n")
}

/// The decoded HTML of a message, as its recipient's mail program would show it.
pub(crate) fn html(content: &[u8]) -> Option<String> {
    let located = mime::locate(content);
    (!located.html.is_empty()).then(|| shown(content, &located.html))
}

fn shown(content: &[u8], parts: &[mime::TextPart]) -> String {
    let texts: Vec<String> = parts
        .iter()
        .filter_map(|part| {
            let decoded = mime::decode(&content[part.body.clone()], part.encoding).ok()?;
            Some(console::text(&decoded.octets, part.charset.as_deref()))
        })
        .collect();
    texts.join("\r\n")
}

/// A message as it was written beside the same as it was passed on. `None`: too long for that.
pub(crate) fn compare(written: &[u8], passed_on: &[u8]) -> Option<Comparison> {
    let stretches = differences(&readable(written), &readable(passed_on))?;
    let (was, is) = (field_names(written), field_names(passed_on));
    let fields_added = without(is.clone(), &was);
    let fields_removed = without(was, &is);
    Some(Comparison { written: true, stretches: folded(stretches), fields_added, fields_removed })
}

/// One side only: how it was written is not known here.
pub(crate) fn only_passed_on(passed_on: &[u8]) -> Comparison {
    let stretches = folded(vec![Stretch::Same(readable(passed_on))]);
    Comparison { written: false, stretches, fields_added: vec![], fields_removed: vec![] }
}

fn field_names(content: &[u8]) -> Vec<String> {
    let name = |field: mime::HeaderField| String::from_utf8_lossy(&content[field.name]).into_owned();
    mime::header_fields(content).into_iter().map(name).collect()
}

/// Each of `others` takes one of its name away.
fn without(mut names: Vec<String>, others: &[String]) -> Vec<String> {
    for other in others {
        if let Some(at) = names.iter().position(|name| name.eq_ignore_ascii_case(other)) {
            names.remove(at);
        }
    }
    names
}

/// Both texts, cut where they differ.
///
/// Word by word would mark half a line for one link, so the pieces compared are those Waxseal changes: a whole
/// tag, or, of a tag with a link, the link alone.
fn differences(written: &str, passed_on: &str) -> Option<Vec<Stretch>> {
    if written.len().max(passed_on.len()) > COMPARED_OCTETS {
        return None;
    }
    let (old, new) = (tokens(written), tokens(passed_on));
    let deadline = Instant::now() + PATIENCE;
    let ops = capture_diff_slices_deadline(Algorithm::Myers, &keys(&old), &keys(&new), Some(deadline));
    let mut stretches = Stretches::default();
    for op in ops {
        match op {
            DiffOp::Equal { old_index, new_index, len } => {
                for (was, is) in old[old_index..][..len].iter().zip(&new[new_index..][..len]) {
                    stretches.tag(was, is);
                }
            }
            DiffOp::Delete { old_index, old_len, .. } => {
                stretches.changed(Some(joined(&old[old_index..][..old_len])), None);
            }
            DiffOp::Insert { new_index, new_len, .. } => {
                stretches.changed(None, Some(joined(&new[new_index..][..new_len])));
            }
            DiffOp::Replace { old_index, old_len, new_index, new_len } => {
                let (was, is) = (joined(&old[old_index..][..old_len]), joined(&new[new_index..][..new_len]));
                stretches.changed(Some(was), Some(is));
            }
        }
    }
    Some(stretches.0)
}

/// A word, the white space between two, a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Token<'a> {
    before: &'a str,
    /// The value of the tag's `href`; empty for everything else.
    link: &'a str,
    after: &'a str,
}

impl<'a> Token<'a> {
    /// Two tags that differ in nothing but where they lead are the same tag.
    fn key(&self) -> (&'a str, &'a str) {
        (self.before, self.after)
    }

    fn plain(text: &'a str) -> Self {
        Self { before: text, link: "", after: "" }
    }
}

fn keys<'a>(tokens: &[Token<'a>]) -> Vec<(&'a str, &'a str)> {
    tokens.iter().map(Token::key).collect()
}

fn joined(tokens: &[Token<'_>]) -> String {
    tokens.iter().flat_map(|token| [token.before, token.link, token.after]).collect()
}

/// Every text is a sequence of tokens, and they joined are the text again.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let token = match tag_end(rest) {
            Some(end) => tag(&rest[..end]),
            None if first.is_whitespace() => Token::plain(until(rest, |c| !c.is_whitespace())),
            None => {
                let behind = first.len_utf8();
                let end = behind + until(&rest[behind..], |c| c.is_whitespace() || c == '<').len();
                Token::plain(&rest[..end])
            }
        };
        rest = &rest[token.before.len() + token.link.len() + token.after.len()..];
        tokens.push(token);
    }
    tokens
}

fn until(text: &str, stop: impl Fn(char) -> bool) -> &str {
    &text[..text.find(stop).unwrap_or(text.len())]
}

/// Where the tag that `text` begins with ends. Of a comment it is only the mark, for what stands in it may be
/// mail to Outlook, with links.
fn tag_end(text: &str) -> Option<usize> {
    let text = &text[..text.floor_char_boundary(TAG_OCTETS)];
    let behind = text.strip_prefix('<')?;
    if behind.starts_with("!--") {
        return Some("<!--".len());
    }
    if !behind.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!') {
        return None;
    }
    let mut quote = None;
    let ends = |c: char| {
        match quote {
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None => return c == '>',
            Some(open) if c == open => quote = None,
            Some(_) => {}
        }
        false
    };
    text.find(ends).map(|at| at + 1)
}

fn tag(text: &str) -> Token<'_> {
    match href(text) {
        Some(value) => {
            Token { before: &text[..value.start], link: &text[value.clone()], after: &text[value.end..] }
        }
        None => Token::plain(text),
    }
}

/// Where the value of a tag's first `href` stands, without its quotes.
fn href(tag: &str) -> Option<Range<usize>> {
    let mut at = until(tag, |c| c.is_ascii_whitespace() || c == '/').len();
    while at < tag.len() {
        at += until(&tag[at..], |c| !c.is_ascii_whitespace() && c != '/').len();
        let name = until(&tag[at..], |c| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/'));
        at += name.len();
        let spaces = until(&tag[at..], |c| !c.is_ascii_whitespace()).len();
        if !tag[at + spaces..].starts_with('=') {
            // A name alone. Whatever stands there that is no name is passed over, or there would be no end.
            at += if name.is_empty() { tag[at..].chars().next()?.len_utf8() } else { 0 };
            continue;
        }
        at += spaces + 1;
        at += until(&tag[at..], |c| !c.is_ascii_whitespace()).len();
        let value = match tag[at..].chars().next()? {
            quote @ ('"' | '\'') => at + 1..at + 1 + until(&tag[at + 1..], |c| c == quote).len(),
            _ => at..at + until(&tag[at..], |c| c.is_ascii_whitespace() || c == '>').len(),
        };
        if name.eq_ignore_ascii_case("href") {
            return Some(value);
        }
        at = value.end + usize::from(tag[value.end..].starts_with(['"', '\'']));
    }
    None
}

#[derive(Default)]
struct Stretches(Vec<Stretch>);

impl Stretches {
    fn tag(&mut self, was: &Token<'_>, is: &Token<'_>) {
        if was.link == is.link {
            self.same(was.before);
            self.same(was.link);
        } else {
            self.same(was.before);
            self.0.push(Stretch::Changed {
                was: Some(was.link.to_owned()),
                is: Some(is.link.to_owned()),
                mark: Some(Mark::Link),
            });
        }
        self.same(was.after);
    }

    fn same(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Stretch::Same(last)) => last.push_str(text),
            _ if text.is_empty() => {}
            _ => self.0.push(Stretch::Same(text.to_owned())),
        }
    }

    fn changed(&mut self, was: Option<String>, is: Option<String>) {
        let image = |text: &String| {
            text.trim_start().strip_prefix("<img").is_some_and(|rest| rest.starts_with(char::is_whitespace))
        };
        let pixel = was.is_none() && is.as_ref().is_some_and(image);
        self.0.push(Stretch::Changed { was, is, mark: pixel.then_some(Mark::Pixel) });
    }
}

/// Long stretches without a change, cut down to what stands beside the changes.
fn folded(stretches: Vec<Stretch>) -> Vec<Stretch> {
    let last = stretches.len().saturating_sub(1);
    let fold = |(at, stretch): (usize, Stretch)| match stretch {
        Stretch::Same(text) if text.len() > 3 * CONTEXT => {
            // A text without any change is shown from its beginning.
            let head = if at > 0 || last == 0 { head_octets(&text) } else { 0 };
            let tail = if at < last { tail_octets(&text) } else { 0 };
            let hidden = &text[head..text.len() - tail];
            vec![
                Stretch::Same(text[..head].to_owned()),
                Stretch::Folded { characters: hidden.chars().count() },
                Stretch::Same(text[text.len() - tail..].to_owned()),
            ]
        }
        other => vec![other],
    };
    stretches.into_iter().enumerate().flat_map(fold).collect()
}

/// About the first [`CONTEXT`] octets, to the end of a line if one is near.
fn head_octets(text: &str) -> usize {
    let cut = text.floor_char_boundary(CONTEXT);
    text[..cut].rfind('\n').filter(|at| *at > CONTEXT / 2).map_or(cut, |at| at + 1)
}

/// About the last [`CONTEXT`] octets, from the beginning of a line if one is near.
fn tail_octets(text: &str) -> usize {
    // One octet more: the cut may stand at the beginning of a line already.
    let near = &text.as_bytes()[text.len().saturating_sub(CONTEXT + 1)..];
    let line = near.iter().position(|octet| *octet == b'\n').filter(|at| *at < CONTEXT / 2);
    let cut = || text.len() - text.ceil_char_boundary(text.len().saturating_sub(CONTEXT));
    line.map_or_else(cut, |at| near.len() - at - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `[-was-]{+is+}` where something changed; a mark as `L:` or `P:`.
    fn drawn(written: &str, passed_on: &str) -> String {
        let draw = |stretch: &Stretch| match stretch {
            Stretch::Same(text) => text.clone(),
            Stretch::Folded { characters } => format!("…{characters}…"),
            Stretch::Changed { was, is, mark } => {
                let mark = mark.map_or("", |mark| if mark == Mark::Link { "L:" } else { "P:" });
                let was = was.as_ref().map_or(String::new(), |text| format!("[-{text}-]"));
                let is = is.as_ref().map_or(String::new(), |text| format!("{{+{text}+}}"));
                format!("{mark}{was}{is}")
            }
        };
        folded(differences(written, passed_on).unwrap()).iter().map(draw).collect()
    }

    #[test]
    fn the_changes_are_marked_and_nothing_beside_them() {
        let long = "a b\n".repeat(1000);
        for (case, written, passed_on, expected) in [
            (
                "a link's value only, and the pixel as a whole",
                "<p>See <a href=\"x\">one</a>.</p>\n</body>",
                "<p>See <a href=\"t/c/1\">one</a>.</p>\n<img src=\"t/o/2\" alt=\"\"></body>",
                "<p>See <a href=\"L:[-x-]{+t/c/1+}\">one</a>.</p>\nP:{+<img src=\"t/o/2\" alt=\"\">+}</body>",
            ),
            ("nothing", "<p>One & two</p>", "<p>One & two</p>", "<p>One & two</p>"),
            (
                "quotes, spaces and capitals as they come",
                "<A class=b HREF = 'x y' id=c><area href=x>",
                "<A class=b HREF = 'z' id=c><area href=z>",
                "<A class=b HREF = 'L:[-x y-]{+z+}' id=c><area href=L:[-x-]{+z+}>",
            ),
            (
                "only the href among attributes that look like it",
                "<a data-href=\"x\" title='href=\"x\"' href=\"x\">",
                "<a data-href=\"x\" title='href=\"x\"' href=\"y\">",
                "<a data-href=\"x\" title='href=\"x\"' href=\"L:[-x-]{+y+}\">",
            ),
            (
                "our pixel beside another's",
                "<img src=\"t/o/1\" alt=\"\"></body>",
                "<img src=\"t/o/1\" alt=\"\"><img src=\"t/o/2\" alt=\"\"></body>",
                "<img src=\"t/o/1\" alt=\"\">P:{+<img src=\"t/o/2\" alt=\"\">+}</body>",
            ),
            (
                "a link in a comment",
                "<!--[if mso]><v:rect href=\"x\"><![endif]--><!-- don't --><a/href=x>",
                "<!--[if mso]><v:rect href=\"y\"><![endif]--><!-- don't --><a/href=z>",
                "<!--[if mso]><v:rect href=\"L:[-x-]{+y+}\"><![endif]--><!-- don't --><a/href=L:[-x-]{+z+}>",
            ),
            ("a pixel on lines of its own", "<p>a", "<p>a\n<img\nsrc=x>", "<p>aP:{+\n<img\nsrc=x>+}"),
            ("a word", "plain old words", "plain new words", "plain [-old-]{+new+} words"),
            ("taken out", "a <img src=x> b", "a b", "a [-<img src=x> -]b"),
            ("not a tag", "1 < 2 <3 <", "1 < 2 <3 < x", "1 < 2 <3 <{+ x+}"),
            (
                "folded to the changes",
                &long,
                &format!("{long}!"),
                &format!("…3500…{}{{+!+}}", "a b\n".repeat(125)),
            ),
        ] {
            assert_eq!(drawn(written, passed_on), expected, "{case}");
        }
    }

    #[test]
    fn what_is_too_long_is_not_compared() {
        assert!(differences("", &"x".repeat(COMPARED_OCTETS + 1)).is_none());
    }

    #[test]
    fn a_text_without_changes_is_shown_from_its_beginning() {
        let shown = only_passed_on(format!("\r\n{}", "é\n".repeat(2000)).as_bytes());
        let [Stretch::Same(head), Stretch::Folded { characters }, Stretch::Same(tail)] =
            shown.stretches.as_slice()
        else {
            panic!("{shown:?}")
        };
        assert_eq!((head.chars().count() + characters, tail.as_str()), (4000, ""));
    }

    #[test]
    fn charsets_and_encodings_are_undone() {
        let message = b"Content-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
            <p>gr=FC=DFe=\r\n!</p>\r\n";
        assert_eq!(readable(message), "<p>grüße!</p>\n");
        assert_eq!(html(message).unwrap(), "<p>grüße!</p>\r\n");
        assert_eq!(html(b"Subject: x\r\n\r\nplain\r\n"), None);
    }

    #[test]
    fn the_header_is_compared_by_names() {
        let comparison = compare(
            b"Received: client\r\nSubject: x\r\nX-Waxseal-Track: none\r\n\r\nText\r\n",
            b"Received: relay\r\nReceived: client\r\nSubject: x\r\n\r\nText\r\n",
        )
        .unwrap();
        assert_eq!(
            (comparison.fields_added, comparison.fields_removed),
            (vec!["Received".to_owned()], vec!["X-Waxseal-Track".to_owned()])
        );
        assert_eq!(comparison.stretches, [Stretch::Same("Text\n".to_owned())]);
    }

    proptest! {
        #[test]
        fn both_sides_are_shown_whole(
            written in "(<a href=['\"]?[a-z]{0,3}['\"]?>|[a-z<>= é\n'\"/-]){0,40}",
            passed_on in "(<a href=['\"]?[a-z]{0,3}['\"]?>|<img src=x>|[a-z<>= é\n'\"/-]){0,40}",
        ) {
            let side = |of: fn(&Stretch) -> &str| -> String {
                differences(&written, &passed_on).unwrap().iter().map(of).collect()
            };
            let left = side(|stretch| match stretch {
                Stretch::Same(text) | Stretch::Changed { was: Some(text), .. } => text,
                _ => "",
            });
            let right = side(|stretch| match stretch {
                Stretch::Same(text) | Stretch::Changed { is: Some(text), .. } => text,
                _ => "",
            });
            prop_assert_eq!((left, right), (written.clone(), passed_on.clone()));
        }
    }
}
