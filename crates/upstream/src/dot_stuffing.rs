use memchr::memmem;

/// A content as it goes out after DATA: a dot before each dot that begins a line (RFC 5321 §4.5.2), and the final
/// dot. In pieces, so that a large message is not held twice; mostly there is one.
///
/// `trace` and `content` have only CRLF line ends, and `trace` is whole lines or empty.
pub(crate) struct DotStuffed<'a> {
    trace: &'a [u8],
    content: &'a [u8],
    at_line_start: bool,
    ended: bool,
}

pub(crate) struct Piece {
    pub(crate) octets: Vec<u8>,
    /// The final dot is in it.
    pub(crate) is_last: bool,
}

const PIECE_OCTETS: usize = 64 * 1024;

impl<'a> DotStuffed<'a> {
    pub(crate) fn new(trace: &'a [u8], content: &'a [u8]) -> Self {
        Self { trace, content, at_line_start: true, ended: false }
    }

    fn stuff(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let Some(last) = octets.last() else { return };
        if self.at_line_start && octets.starts_with(b".") {
            out.push(b'.');
        }
        let mut copied = 0;
        for line_end in memmem::find_iter(octets, b"\n.") {
            out.extend_from_slice(&octets[copied..=line_end]);
            out.push(b'.');
            copied = line_end + 1;
        }
        out.extend_from_slice(&octets[copied..]);
        self.at_line_start = *last == b'\n';
    }
}

impl Iterator for DotStuffed<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.ended {
            return None;
        }
        let trace = std::mem::take(&mut self.trace);
        let (now, later) = self.content.split_at(self.content.len().min(PIECE_OCTETS));
        self.content = later;
        let is_empty = trace.is_empty() && now.is_empty();
        let mut octets = Vec::with_capacity(trace.len() + now.len() + 64);
        self.stuff(trace, &mut octets);
        self.stuff(now, &mut octets);
        self.ended = later.is_empty();
        if self.ended {
            // DATA carries whole lines only: content that does not end in one gets its end, and none becomes one.
            let ends_line = self.at_line_start && !is_empty;
            octets.extend_from_slice(if ends_line { b".\r\n" } else { b"\r\n.\r\n" });
        }
        Some(Piece { octets, is_last: self.ended })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stuffed(trace: &[u8], content: &[u8]) -> (String, usize) {
        let pieces: Vec<Piece> = DotStuffed::new(trace, content).collect();
        assert_eq!(pieces.iter().filter(|piece| piece.is_last).count(), 1);
        assert!(pieces.last().unwrap().is_last);
        let octets: Vec<u8> = pieces.iter().flat_map(|piece| piece.octets.iter().copied()).collect();
        (octets.escape_ascii().to_string(), pieces.len())
    }

    #[test]
    fn dots_that_begin_lines_and_the_final_one() {
        for (trace, content, expected) in [
            ("", "a\r\n", "a\r\n.\r\n"),
            ("", "a", "a\r\n.\r\n"),
            ("", "", "\r\n.\r\n"),
            ("t\r\n", "", "t\r\n.\r\n"),
            ("t\r\n", "a\r\n", "t\r\na\r\n.\r\n"),
            ("t\r\n", ".\r\n", "t\r\n..\r\n.\r\n"),
            ("", ".\r\n", "..\r\n.\r\n"),
            ("", "..\r\n.\r\n..\r\n", "...\r\n..\r\n...\r\n.\r\n"),
            ("", "a.\r\n.b.\r\n\r\n.\r\n\r\n", "a.\r\n..b.\r\n\r\n..\r\n\r\n.\r\n"),
            (".t\r\n", "a", "..t\r\na\r\n.\r\n"),
            ("", "\r\n", "\r\n.\r\n"),
        ] {
            let found = stuffed(trace.as_bytes(), content.as_bytes()).0;
            assert_eq!(found, expected.as_bytes().escape_ascii().to_string(), "{trace:?} {content:?}");
        }
    }

    #[test]
    fn wherever_a_piece_ends() {
        for before in PIECE_OCTETS - 4..=PIECE_OCTETS + 1 {
            let content = [&vec![b'x'; before][..], b"\r\n.y\r\n.\r\n"].concat();
            let expected = [&vec![b'x'; before][..], b"\r\n..y\r\n..\r\n.\r\n"].concat();
            assert_eq!(stuffed(b"", &content), (expected.escape_ascii().to_string(), 2), "{before}");
        }
        let whole = [&vec![b'x'; PIECE_OCTETS - 2][..], b"\r\n"].concat();
        assert_eq!(stuffed(b"", &whole).1, 1);
    }
}
