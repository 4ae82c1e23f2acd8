use std::collections::BTreeSet;

use mail_parser::{MessageParser, PartType};

/// A message's tree of parts without its bodies, and what mail-parser says is displayed of it.
#[derive(Debug, Default)]
pub(crate) struct Skeleton {
    message: Vec<u8>,
}

impl Skeleton {
    /// Adds a part's header. Returns where its body would stand.
    pub(crate) fn part<'a>(&mut self, fields: impl IntoIterator<Item = &'a [u8]>) -> usize {
        for field in fields {
            self.message.extend_from_slice(field.trim_ascii_end());
            self.message.extend_from_slice(b"\r\n");
        }
        self.message.extend_from_slice(b"\r\n");
        self.message.len()
    }

    pub(crate) fn delimiter(&mut self, boundary: &[u8], closes: bool) {
        let close: &[u8] = if closes { b"--" } else { b"" };
        for octets in [b"\r\n--", boundary, close, b"\r\n"] {
            self.message.extend_from_slice(octets);
        }
    }

    /// Which parts are displayed, by where their bodies stand.
    pub(crate) fn displayed(&self) -> Displayed {
        let Some(message) = MessageParser::new().parse(&self.message) else {
            return Displayed::default();
        };
        let parts = |ids: &[u32], is_wanted: fn(&PartType<'_>) -> bool| {
            ids.iter()
                .filter_map(|&id| message.part(id))
                .filter(|part| is_wanted(&part.body) && !part.is_encoding_problem)
                .map(|part| part.offset_body as usize)
                .collect::<BTreeSet<_>>()
        };
        let is_text = |body: &PartType<'_>| matches!(body, PartType::Text(_));
        let mut plain = parts(&message.text_body, is_text);
        plain.extend(parts(&message.html_body, is_text));
        let is_html = |body: &PartType<'_>| matches!(body, PartType::Html(_));
        let known = message.parts.iter().filter(|part| is_text(&part.body) || is_html(&part.body));
        Displayed {
            known: known.map(|part| part.offset_body as usize).collect(),
            html: parts(&message.html_body, is_html),
            plain,
        }
    }
}

/// Where the bodies of text parts stand in a skeleton.
#[derive(Debug, Default)]
pub(crate) struct Displayed {
    /// All text parts, displayed or not.
    pub(crate) known: BTreeSet<usize>,
    pub(crate) html: BTreeSet<usize>,
    pub(crate) plain: BTreeSet<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn displayed(tree: &[&str]) -> (usize, usize) {
        let mut skeleton = Skeleton::default();
        for &line in tree {
            match line.strip_prefix("--") {
                Some(boundary) => {
                    let open = boundary.trim_end_matches("--");
                    skeleton.delimiter(open.as_bytes(), open != boundary);
                }
                None => {
                    skeleton.part(std::iter::once(line.as_bytes()).filter(|line| !line.is_empty()));
                }
            }
        }
        let displayed = skeleton.displayed();
        (displayed.html.len(), displayed.plain.len())
    }

    #[test]
    fn empty_bodies_do_not_keep_parts_from_being_displayed() {
        let mixed = "Content-Type: multipart/mixed; boundary=b\r\n";
        let alternative = "Content-Type: multipart/alternative; boundary=\"c\"\r\n";
        let (html, plain) = ("Content-Type: text/html\r\n", "Content-Type: text/plain\r\n");
        for (case, tree, expected) in [
            ("a single html part", vec![html], (1, 0)),
            ("a single text part", vec![plain], (0, 1)),
            ("no header", vec![""], (0, 1)),
            ("alternative", vec![alternative, "--c", plain, "--c", html, "--c--"], (1, 1)),
            (
                "nested",
                vec![mixed, "--b", alternative, "--c", plain, "--c", html, "--c--", "--b", html, "--b--"],
                (2, 1),
            ),
            (
                "an attachment",
                vec![mixed, "--b", html, "--b", "Content-Type: text/html; name=a\r\n", "--b--"],
                (1, 0),
            ),
            ("without an end", vec![mixed, "--b", html, "--b", html], (1, 0)),
        ] {
            assert_eq!(displayed(&tree), expected, "{case}");
        }
    }
}
