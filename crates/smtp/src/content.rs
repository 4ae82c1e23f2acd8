use std::fmt;

use envelope::Reply;
use memchr::{memchr3, memchr3_iter};

/// Receives what follows DATA, up to the final dot (RFC 5321 §4.1.1.4, §4.5.2), or the chunks of BDAT (RFC 3030).
///
/// A line ends at CRLF and nowhere else; the first line is at line start. Content that we
/// will not take is read on to its real end all the same: stopping early would let the
/// rest of it be read as commands (SMTP smuggling).
pub(crate) struct ContentReceiver {
    content: Vec<u8>,
    max_octets: u64,
    /// Octets of the content so far, kept or not, without the dots the client added.
    octets: u64,
    position: Position,
    /// A bare CR or LF, or a NUL.
    odd_octet: bool,
    /// The caller has no room for it.
    given_up: bool,
    /// Octets of the content that the client has named so far.
    announced: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    LineStart,
    /// Behind a dot that stood at line start: the client's, or the final one.
    Dot,
    /// Behind CR behind such a dot.
    DotCr,
    Text,
    /// Behind any other CR.
    Cr,
}

impl ContentReceiver {
    pub(crate) fn new(max_octets: u64) -> Self {
        Self {
            content: Vec::new(),
            max_octets,
            octets: 0,
            position: Position::LineStart,
            odd_octet: false,
            given_up: false,
            announced: 0,
        }
    }

    /// Takes octets of the client. `Some(n)` when the final dot's line ended with the n-th of them.
    pub(crate) fn push(&mut self, octets: &[u8]) -> Option<usize> {
        let mut rest = octets;
        while let Some((&octet, after)) = rest.split_first() {
            if self.position == Position::Text {
                let plain = plain_octets(rest);
                if plain > 0 {
                    self.keep(&rest[..plain]);
                    rest = &rest[plain..];
                    continue;
                }
            }
            if self.step(octet) {
                return Some(octets.len() - after.len());
            }
            rest = after;
        }
        None
    }

    /// Takes octets of a chunk, in which a dot is a dot. A CRLF may be cut in two by the end of a chunk.
    pub(crate) fn push_chunk(&mut self, octets: &[u8]) {
        let (Some(first), Some(last)) = (octets.first(), octets.last()) else { return };
        self.odd_octet |= self.position == Position::Cr && *first != b'\n';
        for at in memchr3_iter(b'\r', b'\n', 0, octets) {
            self.odd_octet |= match octets[at] {
                b'\r' => octets.get(at + 1).is_some_and(|&next| next != b'\n'),
                b'\n' if at == 0 => self.position != Position::Cr,
                b'\n' => octets[at - 1] != b'\r',
                _ => true,
            };
        }
        self.position = if *last == b'\r' { Position::Cr } else { Position::Text };
        self.keep(octets);
    }

    /// So many octets are to come: content that will be too large is let go at once.
    pub(crate) fn expect(&mut self, octets: u64) {
        self.announced = self.octets.saturating_add(octets);
        if self.is_refused() {
            self.content = Vec::new();
        }
    }

    /// Takes one octet; true when the content is at its end.
    fn step(&mut self, octet: u8) -> bool {
        use Position::{Cr, Dot, DotCr, LineStart, Text};
        self.position = match (self.position, octet) {
            (DotCr, b'\n') => return true,
            (LineStart, b'.') => return self.at(Dot),
            (Dot, b'\r') => return self.at(DotCr),
            // The dot was the client's (RFC 5321 §4.5.2): it is gone, what follows is the line.
            (_, b'\n') => {
                let ends_line = self.position == Cr;
                self.odd_octet |= !ends_line;
                if ends_line { LineStart } else { Text }
            }
            (before, octet) => {
                // A CR that no LF follows.
                self.odd_octet |= matches!(before, Cr | DotCr) || octet == 0;
                if octet == b'\r' { Cr } else { Text }
            }
        };
        self.keep(&[octet]);
        false
    }

    fn at(&mut self, position: Position) -> bool {
        self.position = position;
        false
    }

    fn keep(&mut self, octets: &[u8]) {
        self.octets = self.octets.saturating_add(octets.len() as u64);
        if self.is_refused() {
            self.content = Vec::new();
        } else {
            self.content.extend_from_slice(octets);
        }
    }

    fn is_refused(&self) -> bool {
        self.odd_octet || self.given_up || self.size() > self.max_octets
    }

    /// As far as one knows by now.
    fn size(&self) -> u64 {
        self.octets.max(self.announced)
    }

    /// How many octets it holds in memory, or `None` when it only looks for the end by now.
    pub(crate) fn held_octets(&self) -> Option<usize> {
        (!self.is_refused()).then_some(self.content.len())
    }

    /// How much memory it holds, in octets.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.content.capacity()
    }

    /// Lets go of what it holds; the answer will be 452.
    pub(crate) fn give_up(&mut self) {
        self.given_up = true;
        self.content = Vec::new();
    }

    /// The content as the client meant it, or the reply that refuses it.
    pub(crate) fn finish(self) -> Result<Vec<u8>, Reply> {
        self.refusal().map_or(Ok(self.content), Err)
    }

    /// The content after its last chunk. What BDAT brings need not end in a line end (RFC 3030 §2), but for
    /// everybody behind us a content is whole lines: the last one gets its end.
    pub(crate) fn finish_chunks(mut self) -> Result<Vec<u8>, Reply> {
        self.odd_octet |= self.position == Position::Cr;
        let mut content = self.finish()?;
        if !content.is_empty() && !content.ends_with(b"\r\n") {
            content.extend_from_slice(b"\r\n");
        }
        Ok(content)
    }

    /// Why it will not be taken, if that is settled.
    pub(crate) fn refusal(&self) -> Option<Reply> {
        if self.odd_octet {
            let text = "Message holds a CR or LF of its own, or a NUL; lines must end in CR LF";
            return Some(Reply::of(550, "5.6.0", text));
        }
        if self.size() > self.max_octets {
            return Some(too_large(self.size(), self.max_octets));
        }
        if self.given_up {
            let text = "Too much mail at once right now; your program will try again";
            return Some(Reply::of(452, "4.3.1", text));
        }
        None
    }
}

impl fmt::Debug for ContentReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentReceiver").field("octets", &self.octets).finish_non_exhaustive()
    }
}

/// How many octets, begun within a line, are kept as they stand and end within a line again.
/// Nearly all of a message is, and it goes by a page at a time, not octet by octet.
fn plain_octets(octets: &[u8]) -> usize {
    let mut plain = 0;
    while let Some(at) = memchr3(b'\r', b'\n', 0, &octets[plain..]) {
        match octets[plain + at..] {
            [b'\r', b'\n', next, ..] if !matches!(next, b'.' | b'\r' | b'\n' | 0) => plain += at + 3,
            _ => return plain + at,
        }
    }
    octets.len()
}

/// RFC 1870 §6.1 and §6.3, in words for the person who wrote the message.
pub(crate) fn too_large(octets: u64, max_octets: u64) -> Reply {
    let (mut size, mut limit) = (megabytes(octets), megabytes(max_octets));
    if size == limit || max_octets < 1_000_000 {
        (size, limit) = (format!("{octets} octets"), format!("{max_octets} octets"));
    }
    Reply::of(552, "5.3.4", format!("Message is {size}, the limit is {limit}"))
}

fn megabytes(octets: u64) -> String {
    let tenths = octets / 100_000;
    match tenths % 10 {
        0 => format!("{} MB", tenths / 10),
        tenth => format!("{}.{tenth} MB", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything up to the end, in pieces of `step`; the octets behind the end; or the refusal.
    fn receive(input: &[u8], max_octets: u64, step: usize) -> String {
        let mut receiver = ContentReceiver::new(max_octets);
        let mut taken = 0;
        for piece in input.chunks(step) {
            if let Some(n) = receiver.push(piece) {
                let rest = &input[taken + n..];
                return match receiver.finish() {
                    Ok(content) => format!("{}|{}", content.escape_ascii(), rest.escape_ascii()),
                    Err(reply) => format!("{}|{}", reply.code(), rest.escape_ascii()),
                };
            }
            taken += piece.len();
        }
        "no end".into()
    }

    #[test]
    fn where_content_ends_and_what_it_is() {
        let table: &[(&[u8], &str)] = &[
            (b".\r\n", "|"),
            (b"a\r\n.\r\nQUIT\r\n", "a\\r\\n|QUIT\\r\\n"),
            (b"..\r\n.\r\n", ".\\r\\n|"),
            (b"..x\r\n.y\r\n.\r\n", ".x\\r\\ny\\r\\n|"),
            (b"...\r\n\r\n.\r\n", "..\\r\\n\\r\\n|"),
            (b"a.\r\n.\r\n", "a.\\r\\n|"),
            (b"a\n.\nb\r\n.\r\nQ", "550|Q"),
            (b"a\n.\r\nb\r\n.\r\nQ", "550|Q"),
            (b"a\r.\rb\r\n.\r\nQ", "550|Q"),
            (b"a\r.\r\nb\r\n.\r\nQ", "550|Q"),
            (b"a\r\n.\nb\r\n.\r\nQ", "550|Q"),
            (b"a\r\n.\rb\r\n.\r\nQ", "550|Q"),
            (b"a\r\n.\r\r\nb\r\n.\r\nQ", "550|Q"),
            (b"a\r\r\n.\r\nQ", "550|Q"),
            (b"a\0\r\n.\r\nQ", "550|Q"),
            (b".\0\r\n.\r\nQ", "550|Q"),
            (b"\n.\r\n.\r\n.\r\nQ", "550|.\\r\\nQ"),
            (b".\n.\r\n\r\n.\r\nQ", "550|Q"),
            (b"1234567890\r\n.\r\nQ", "1234567890\\r\\n|Q"),
            (b"12345678901\r\n.\r\nQ", "552|Q"),
            (b".12345678901\r\n.\r\nQ", "552|Q"),
            (b"..234567890\r\n.\r\nQ", ".234567890\\r\\n|Q"),
            (b"a\r\n.", "no end"),
            (b"a\r\n.\r", "no end"),
        ];
        for (input, expected) in table {
            for step in [1, 2, 3, 5, input.len()] {
                assert_eq!(receive(input, 12, step), *expected, "{} by {step}", input.escape_ascii());
            }
        }
    }

    #[test]
    fn chunks_hold_what_a_content_may_hold_and_dots_are_dots() {
        let table: &[(&[u8], &str)] = &[
            (b"", ""),
            (b"a\r\n", "a\\r\\n"),
            (b"a", "a\\r\\n"),
            (b".\r\n.\r\n..", ".\\r\\n.\\r\\n..\\r\\n"),
            (b"a\r", "550"),
            (b"\r", "550"),
            (b"\n", "550"),
            (b"a\nb\r\n", "550"),
            (b"a\rb\r\n", "550"),
            (b"a\r\r\n", "550"),
            (b"\r\n\n", "550"),
            (b"a\0\r\n", "550"),
            (b"12345678901\r\n", "552"),
            (b"123456789012", "123456789012\\r\\n"),
        ];
        for (input, expected) in table {
            for step in [1, 2, 3, 5, input.len().max(1)] {
                let mut receiver = ContentReceiver::new(12);
                for piece in input.chunks(step) {
                    receiver.expect(piece.len() as u64);
                    receiver.push_chunk(piece);
                }
                let found = receiver.finish_chunks();
                let found = found.map_or_else(|r| r.code().to_string(), |c| c.escape_ascii().to_string());
                assert_eq!(found, *expected, "{} by {step}", input.escape_ascii());
            }
        }
    }

    #[test]
    fn refused_content_is_not_kept() {
        let mut receiver = ContentReceiver::new(1_000);
        receiver.push(&[b'x'; 1_000]);
        assert_eq!(receiver.held_octets(), Some(1_000));
        receiver.push(b"y");
        assert_eq!((receiver.held_octets(), receiver.content.capacity()), (None, 0));
    }

    #[test]
    fn sizes_in_words() {
        for (octets, limit, text) in [
            (41_000_000, 35_000_000, "Message is 41 MB, the limit is 35 MB"),
            (35_350_000, 35_000_000, "Message is 35.3 MB, the limit is 35 MB"),
            (35_000_001, 35_000_000, "Message is 35000001 octets, the limit is 35000000 octets"),
            (1_200, 1_000, "Message is 1200 octets, the limit is 1000 octets"),
        ] {
            assert_eq!(too_large(octets, limit).text(), text);
        }
    }
}
