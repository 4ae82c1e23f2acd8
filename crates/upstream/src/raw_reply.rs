use envelope::{EnhancedStatusCode, Reply, ReplyCode};

/// A reply as it came, before anybody interpreted it (RFC 5321 §4.2).
///
/// `lines` hold the octets after the code and its separator, without line ends, each at most
/// [`MAX_LINE_OCTETS`] long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawReply {
    pub(crate) code: ReplyCode,
    pub(crate) lines: Vec<Vec<u8>>,
}

/// What came is not a reply. Holds its beginning, made harmless, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotAReply(pub(crate) String);

/// Cuts replies out of a stream of octets, in any pieces, in bounded memory.
#[derive(Debug, Default)]
pub(crate) struct ReplyReader {
    /// Received and not yet looked at; never longer than one read.
    unread: Vec<u8>,
    line: Vec<u8>,
    /// More of this line has come than `line` keeps.
    cut: bool,
    lines: Vec<(ReplyCode, Vec<u8>)>,
    reply_octets: usize,
}

/// lettre refuses lines above 1,000 octets; RFC 5321 §4.5.3.1.5 allows 512. The rest is dropped.
pub(crate) const MAX_LINE_OCTETS: usize = 900;
/// As many as `envelope::Reply` keeps. Times the line limit this stays below lettre's 100,000 octets.
const MAX_LINES: usize = 100;
const MAX_REPLY_OCTETS: usize = 200_000;

impl ReplyReader {
    /// Takes octets in. To be followed by [`ReplyReader::next_reply`] before more are read.
    pub(crate) fn push(&mut self, octets: &[u8]) {
        self.unread.extend_from_slice(octets);
    }

    /// The next whole reply, if it is there.
    pub(crate) fn next_reply(&mut self) -> Result<Option<RawReply>, NotAReply> {
        let unread = std::mem::take(&mut self.unread);
        for (at, &octet) in unread.iter().enumerate() {
            self.reply_octets += 1;
            if self.reply_octets > MAX_REPLY_OCTETS {
                return Err(NotAReply("a reply without end".to_owned()));
            }
            if octet != b'\n' {
                // Room for the CR that does not count, and the code.
                if self.line.len() < MAX_LINE_OCTETS + 5 {
                    self.line.push(octet);
                } else {
                    self.cut = true;
                }
                continue;
            }
            if let Some(reply) = self.end_of_line()? {
                self.unread = unread[at + 1..].to_vec();
                return Ok(Some(reply));
            }
        }
        Ok(None)
    }

    /// Is there anything, whole or in part, that has not been handed out?
    pub(crate) fn holds_octets(&self) -> bool {
        !(self.unread.is_empty() && self.line.is_empty() && self.lines.is_empty())
    }

    /// One line has come, its LF excluded. A bare LF ends a line too: nobody gains by waiting for
    /// the CR, and lettre would hang.
    fn end_of_line(&mut self) -> Result<Option<RawReply>, NotAReply> {
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\r') && !self.cut {
            line.pop();
        }
        self.cut = false;
        let Some((code, last)) = code_and_separator(&line) else {
            return Err(NotAReply(readable(&line).chars().take(80).filter(|c| !c.is_control()).collect()));
        };
        let text = line.get(4..).unwrap_or_default();
        self.lines.push((code, text[..text.len().min(MAX_LINE_OCTETS)].to_vec()));
        if self.lines.len() > MAX_LINES {
            return Err(NotAReply("a reply of too many lines".to_owned()));
        }
        if !last {
            return Ok(None);
        }
        self.reply_octets = 0;
        let lines = std::mem::take(&mut self.lines);
        // RFC 5321 §4.2.1: the codes must agree. Where only the later digits do not, the last one
        // counts; where the first digits disagree nobody knows what was meant.
        if lines.iter().any(|(other, _)| other.get() / 100 != code.get() / 100) {
            return Err(NotAReply("a reply whose lines contradict one another".to_owned()));
        }
        Ok(Some(RawReply { code, lines: lines.into_iter().map(|(_, text)| text).collect() }))
    }
}

/// The code, and whether this is the reply's last line. `250` alone is a last line without text.
fn code_and_separator(line: &[u8]) -> Option<(ReplyCode, bool)> {
    let digits = line.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    let last = match line.get(3) {
        None | Some(b' ' | b'\t') => true,
        Some(b'-') => false,
        Some(_) => return None,
    };
    Some((ReplyCode::new(code)?, last))
}

impl RawReply {
    /// The provider's own code, enhanced status code and words.
    ///
    /// The enhanced status code is taken off each line that repeats it (RFC 2034 §4 puts it on
    /// all); one whose class contradicts the reply code is left in the text as it stands.
    pub(crate) fn to_reply(&self) -> Reply {
        let texts: Vec<String> = self.lines.iter().map(|line| readable(line)).collect();
        let enhanced = texts
            .first()
            .and_then(|text| EnhancedStatusCode::parse(text.split([' ', '\t']).next()?))
            .filter(|enhanced| u16::from(enhanced.class()) == self.code.get() / 100);
        let prefix = enhanced.map(|enhanced| enhanced.to_string());
        let texts: Vec<&str> = texts
            .iter()
            .map(|text| match prefix.as_deref().and_then(|prefix| text.strip_prefix(prefix)) {
                Some(rest) if rest.is_empty() || rest.starts_with([' ', '\t']) => rest.trim_start(),
                _ => text,
            })
            .collect();
        Reply::new(self.code, enhanced, texts.join("\n"))
    }

    /// The same in the one form lettre reads well: ASCII, CRLF, a blank after the last code, and no
    /// second digit above 5, which it takes for nonsense though 571 is in use.
    pub(crate) fn for_lettre(&self) -> Vec<u8> {
        let code = self.code.get();
        let code = if code / 10 % 10 > 5 { code / 100 * 100 + 50 } else { code };
        let mut octets = Vec::new();
        for (number, line) in self.lines.iter().enumerate() {
            octets.extend_from_slice(code.to_string().as_bytes());
            octets.push(if number + 1 == self.lines.len() { b' ' } else { b'-' });
            octets.extend(line.iter().map(|octet| if matches!(octet, b' '..=b'~') { *octet } else { b'?' }));
            octets.extend_from_slice(b"\r\n");
        }
        octets
    }
}

/// UTF-8 if it is, else Latin-1: what providers that are not ASCII speak.
pub(crate) fn readable(octets: &[u8]) -> String {
    std::str::from_utf8(octets)
        .map_or_else(|_| octets.iter().map(|octet| char::from(*octet)).collect(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads everything in pieces of `step` octets.
    fn read(octets: &[u8], step: usize) -> Result<Vec<RawReply>, NotAReply> {
        let mut reader = ReplyReader::default();
        let mut replies = Vec::new();
        for piece in octets.chunks(step) {
            reader.push(piece);
            while let Some(reply) = reader.next_reply()? {
                replies.push(reply);
            }
        }
        Ok(replies)
    }

    #[test]
    fn odd_replies_that_are_replies() {
        let table: &[(&str, &[u8], &str, &[u8])] = &[
            ("plain", b"250 2.1.0 Ok\r\n", "250 2.1.0 Ok", b"250 2.1.0 Ok\r\n"),
            ("no text", b"250\r\n", "250 ", b"250 \r\n"),
            ("bare LF", b"250 Ok\n", "250 Ok", b"250 Ok\r\n"),
            ("second digit", b"571 5.7.1 No\r\n", "571 5.7.1 No", b"550 5.7.1 No\r\n"),
            ("Latin-1", b"550 bo\xeete pleine\r\n", "550 boîte pleine", b"550 bo?te pleine\r\n"),
            ("UTF-8", "550 boîte\r\n".as_bytes(), "550 boîte", b"550 bo??te\r\n"),
            ("control", b"550 a\x1b[31m\rb\r\n", "550 a [31m b", b"550 a?[31m?b\r\n"),
            (
                "two lines",
                b"550-5.1.1 a\r\n550 5.1.1 b\r\n",
                "550 5.1.1 a b",
                b"550-5.1.1 a\r\n550 5.1.1 b\r\n",
            ),
            (
                "another code",
                b"550-5.7.2 a\r\n550 5.7.25 b\r\n",
                "550 5.7.2 a 5.7.25 b",
                b"550-5.7.2 a\r\n550 5.7.25 b\r\n",
            ),
            ("class disagrees", b"550 4.7.1 a\r\n", "550 4.7.1 a", b"550 4.7.1 a\r\n"),
            ("codes differ a little", b"550-a\r\n551 b\r\n", "551 a b", b"551-a\r\n551 b\r\n"),
        ];
        for (case, octets, shown, for_lettre) in table {
            for step in [1, 2, 1000] {
                let replies = read(octets, step).unwrap();
                let [reply] = &replies[..] else { panic!("{case}: {replies:?}") };
                assert_eq!(reply.to_reply().to_string(), *shown, "{case}");
                assert_eq!(reply.for_lettre(), *for_lettre, "{case}");
            }
        }
    }

    #[test]
    fn what_is_not_a_reply() {
        for octets in [
            &b"\r\n"[..],
            b"hello\r\n",
            b"HTTP/1.1 400 Bad Request\r\n",
            b"2506 Ok\r\n",
            b"25 Ok\r\n",
            b"999 Ok\r\n",
            b"199 Ok\r\n",
            b"250-a\r\nb\r\n",
            b"250-a\r\n550 b\r\n",
            b"\x16\x03\x01\n",
        ] {
            assert!(read(octets, 1).is_err(), "{octets:?}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let long = [&b"550 "[..], &[b'x'; 5_000], b"\r\n250 next\r\n"].concat();
        let replies = read(&long, 512).unwrap();
        assert_eq!(replies[0].lines[0].len(), MAX_LINE_OCTETS);
        assert_eq!(replies[1].lines[0], b"next");

        assert_eq!(read(&b"250-x\r\n".repeat(100), 512), Ok(vec![]));
        assert!(read(&b"250-x\r\n".repeat(101), 512).is_err());
        assert!(read(&vec![b'2'; MAX_REPLY_OCTETS + 1], 512).is_err());
    }

    #[test]
    fn what_follows_a_reply_is_noticed() {
        for (octets, left) in
            [(&b"220 go\r\n"[..], false), (b"220 go\r\n2", true), (b"220 go\r\n250 x\r\n", true)]
        {
            let mut reader = ReplyReader::default();
            reader.push(octets);
            assert!(reader.next_reply().unwrap().is_some());
            assert_eq!(reader.holds_octets(), left);
        }
    }
}
