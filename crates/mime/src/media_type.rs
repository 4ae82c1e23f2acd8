use crate::parameter_section::{Section, has, put_together};

/// A structured field body of the shape `value; name=value; …` (RFC 2045 §5.1, RFC 2183 §2).
///
/// Reads what mail programs write, which is more than the grammar allows, and notes where two of them may read it
/// differently.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameterized {
    /// In lower case: `text/html`, `attachment`.
    pub(crate) value: String,
    /// Names in lower case; values without their quotes, those of RFC 2231 put together.
    parameters: Vec<(String, Vec<u8>)>,
    /// Nothing in it leaves room for two readings.
    pub(crate) sound: bool,
}

/// Each is compared with those before it.
const MAX_PARAMETERS: usize = 100;

impl Parameterized {
    pub(crate) fn parse(body: &[u8]) -> Self {
        let mut cursor = Cursor { rest: body, sound: !has_odd_octet(body) };
        cursor.skip_space_and_comments();
        let value = lower_case(cursor.until(b"; \t\r\n("));
        let mut parameters = Vec::<(String, Vec<u8>)>::new();
        let mut sections = Vec::<Section>::new();
        while cursor.next_parameter() {
            if parameters.len() + sections.len() == MAX_PARAMETERS {
                cursor.sound = false;
                break;
            }
            let name = lower_case(cursor.until(b"=; \t\r\n("));
            cursor.sound &= !cursor.skip_space_and_comments();
            if !cursor.skip(b'=') {
                cursor.sound = false;
                continue;
            }
            cursor.sound &= !cursor.skip_space_and_comments();
            let value = cursor.value();
            if let Some(mut section) = Section::of(&name) {
                section.value = value;
                sections.push(section);
            } else {
                cursor.sound &= !name.is_empty() && !has(&parameters, &name);
                parameters.push((name, value));
            }
        }
        cursor.sound &= put_together(sections, &mut parameters);
        Self { value, parameters, sound: cursor.sound }
    }

    /// The value of the parameter of this name, the first if there are several.
    pub(crate) fn parameter(&self, name: &str) -> Option<&[u8]> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    /// The same as text; octets that are not UTF-8 are replaced.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.parameter(name).map(|value| String::from_utf8_lossy(value).trim().to_owned())
    }
}

/// A control character, or a CR that no LF follows.
fn has_odd_octet(body: &[u8]) -> bool {
    body.iter().enumerate().any(|(at, &octet)| match octet {
        b'\t' | b'\n' => false,
        b'\r' => body.get(at + 1) != Some(&b'\n'),
        _ => octet.is_ascii_control(),
    })
}

fn lower_case(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).to_ascii_lowercase()
}

struct Cursor<'a> {
    rest: &'a [u8],
    sound: bool,
}

impl<'a> Cursor<'a> {
    /// Goes to the next parameter, if there is one. A semicolon too many is common and means nothing.
    fn next_parameter(&mut self) -> bool {
        let mut separated = false;
        loop {
            self.skip_space_and_comments();
            if !self.skip(b';') {
                break;
            }
            separated = true;
        }
        self.sound &= separated || self.rest.is_empty();
        !self.rest.is_empty()
    }

    fn skip(&mut self, octet: u8) -> bool {
        let found = self.rest.first() == Some(&octet);
        self.rest = &self.rest[usize::from(found)..];
        found
    }

    /// True if there was anything to skip.
    fn skip_space_and_comments(&mut self) -> bool {
        let before = self.rest.len();
        loop {
            self.rest = self.rest.trim_ascii_start();
            if self.rest.first() != Some(&b'(') {
                return self.rest.len() < before;
            }
            self.skip_comment();
        }
    }

    fn skip_comment(&mut self) {
        let (mut depth, mut escaped) = (0_usize, false);
        for (at, &octet) in self.rest.iter().enumerate() {
            match octet {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'(' => depth += 1,
                b')' if depth == 1 => {
                    self.rest = &self.rest[at + 1..];
                    return;
                }
                b')' => depth -= 1,
                _ => {}
            }
        }
        (self.rest, self.sound) = (&[], false);
    }

    fn until(&mut self, stop: &[u8]) -> &'a [u8] {
        let length = self.rest.iter().take_while(|octet| !stop.contains(octet)).count();
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        // A comment right behind a token: some take it for a part of the value.
        self.sound &= rest.first() != Some(&b'(');
        token
    }

    fn value(&mut self) -> Vec<u8> {
        if !self.skip(b'"') {
            let token = self.until(b"; \t\r\n(");
            self.sound &= !token.is_empty();
            return token.to_vec();
        }
        let mut value = Vec::new();
        let mut octets = self.rest.iter().enumerate();
        while let Some((at, &octet)) = octets.next() {
            match octet {
                b'"' => {
                    self.rest = &self.rest[at + 1..];
                    return value;
                }
                b'\r' | b'\n' => {}
                b'\\' => {
                    // Not every program takes the backslash off.
                    self.sound = false;
                    value.extend(octets.next().map(|(_, &escaped)| escaped));
                }
                _ => value.push(octet),
            }
        }
        (self.rest, self.sound) = (&[], false);
        value
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_mail_programs_write_is_read() {
        for (case, body, value, name, parameter, sound) in [
            ("token", "text/html; charset=utf-8", "text/html", "charset", Some("utf-8"), true),
            ("quoted", "Text/HTML;\r\n\tCharSet=\"utf-8\"", "text/html", "charset", Some("utf-8"), true),
            ("no parameter", " text/html ", "text/html", "charset", None, true),
            (
                "semicolon at the end",
                "text/html; charset=utf-8;",
                "text/html",
                "charset",
                Some("utf-8"),
                true,
            ),
            ("two semicolons", "text/html;; charset=utf-8", "text/html", "charset", Some("utf-8"), true),
            (
                "comment",
                "text/html (hi (there)); charset=utf-8 (x)",
                "text/html",
                "charset",
                Some("utf-8"),
                true,
            ),
            (
                "tspecials unquoted",
                "multipart/mixed; boundary=--=_a/b?c",
                "multipart/mixed",
                "boundary",
                { Some("--=_a/b?c") },
                true,
            ),
            (
                "quoted semicolon",
                "multipart/mixed; boundary=\"a;b c\"",
                "multipart/mixed",
                "boundary",
                { Some("a;b c") },
                true,
            ),
            ("folded inside quotes", "a/b; name=\"c\r\n d\"", "a/b", "name", Some("c d"), true),
            ("no semicolon", "text/html charset=utf-8", "text/html", "charset", Some("utf-8"), false),
            ("no value", "text/html; charset=", "text/html", "charset", Some(""), false),
            ("empty quotes", "text/html; charset=\"\"", "text/html", "charset", Some(""), true),
            ("no equals sign", "text/html; charset", "text/html", "charset", None, false),
            (
                "blank around equals",
                "text/html; charset = utf-8",
                "text/html",
                "charset",
                Some("utf-8"),
                false,
            ),
            ("unclosed quote", "text/html; charset=\"utf-8", "text/html", "charset", Some("utf-8"), false),
            ("unclosed comment", "text/html (; charset=utf-8", "text/html", "charset", None, false),
            ("twice", "text/html; charset=a; charset=b", "text/html", "charset", Some("a"), false),
            ("escaped", "a/b; boundary=\"a\\\"b\"", "a/b", "boundary", Some("a\"b"), false),
            ("blank in a token", "a/b; name=a b.txt", "a/b", "name", Some("a"), false),
            ("comment at a token", "a/b; name=a(b)", "a/b", "name", Some("a"), false),
            ("bare CR", "a/b;\rname=a", "a/b", "name", Some("a"), false),
            ("nothing", "", "", "name", None, true),
        ] {
            let parsed = Parameterized::parse(body.as_bytes());
            assert_eq!(parsed.value, value, "{case}");
            assert_eq!(parsed.parameter(name), parameter.map(str::as_bytes), "{case}");
            assert_eq!(parsed.sound, sound, "{case}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_read(body in "[a-z/;=\" \\\\()\r\n\t*]{0,60}") {
            let _ = Parameterized::parse(body.as_bytes());
        }
    }
}
