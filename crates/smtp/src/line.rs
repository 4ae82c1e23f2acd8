use std::fmt;

/// Cuts the octets of a client into lines that end at CRLF and nowhere else
/// (RFC 5321 §2.3.8), holding no more than one line of bounded length.
#[derive(Default)]
pub(crate) struct LineBuffer {
    octets: Vec<u8>,
    /// Where the first octet stands that nobody has taken.
    start: usize,
    /// Octets behind `start` known to hold no LF, so that slow clients cost no rescans.
    scanned: usize,
    skipping: Option<Skip>,
}

/// What the buffer has for us.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line, without its CRLF.
    Complete(Vec<u8>),
    /// An LF without a CR; the rest up to the next CRLF will be skipped without a word.
    BareLineFeed,
    /// The end of a line that was longer than this limit.
    TooLong(usize),
    /// The end of a line with a bare LF, which has had its answer.
    Skipped,
    /// A line without end; there is no point in listening on.
    Endless,
}

/// The rest of a line of which we know enough.
#[derive(Debug)]
struct Skip {
    /// The limit it went beyond; `None` when it has had its answer.
    too_long: Option<usize>,
    previous_is_cr: bool,
    skipped: usize,
}

/// How much of a line we listen to before we hang up.
const MAX_SKIPPED_OCTETS: usize = 65_536;

impl LineBuffer {
    /// Adds what came from the client.
    pub(crate) fn push(&mut self, octets: &[u8]) {
        // The taken part goes first, so the buffer holds one unfinished line and one read at most.
        self.octets.drain(..self.start);
        self.start = 0;
        self.octets.extend_from_slice(octets);
    }

    /// What nobody has taken yet.
    pub(crate) fn waiting(&self) -> &[u8] {
        &self.octets[self.start..]
    }

    /// Has the next line arrived so far that its first octet is there, and is it this?
    pub(crate) fn next_line_begins_with(&self, octet: u8) -> bool {
        self.skipping.is_none() && self.waiting().first() == Some(&octet)
    }

    /// Takes `octets` of what waits, for DATA. Call it between lines only.
    pub(crate) fn consume(&mut self, octets: usize) {
        self.start = (self.start + octets).min(self.octets.len());
        self.scanned = 0;
        if self.start == self.octets.len() {
            self.octets.clear();
            self.start = 0;
        }
    }

    /// Gives back the memory that a content went through.
    pub(crate) fn shrink(&mut self) {
        if self.octets.is_empty() {
            self.octets = Vec::new();
        }
    }

    /// How much memory it holds, in octets.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.octets.capacity()
    }

    /// The next line, if it has arrived. `limit` counts its CRLF.
    pub(crate) fn next_line(&mut self, limit: usize) -> Option<Line> {
        if let Some(skip) = self.skipping.take() {
            return self.skip(skip);
        }
        let window = &self.waiting()[..limit.min(self.waiting().len())];
        let from = self.scanned.min(window.len());
        if let Some(at) = window[from..].iter().position(|&octet| octet == b'\n').map(|at| from + at) {
            if let Some(line) = window[..at].strip_suffix(b"\r") {
                let line = line.to_vec();
                self.consume(at + 1);
                return Some(Line::Complete(line));
            }
            // Were the LF a line end, what an application let through in an address could be
            // a command of its own. So the line is refused at once (who types LF waits for an
            // answer), and goes on, unheard, to its CRLF.
            self.consume(at + 1);
            self.skipping = Some(Skip { too_long: None, previous_is_cr: false, skipped: at + 1 });
            return Some(Line::BareLineFeed);
        }
        if window.len() < limit {
            self.scanned = window.len();
            return None;
        }
        let skip = Skip { too_long: Some(limit), previous_is_cr: window.ends_with(b"\r"), skipped: limit };
        self.consume(limit);
        self.skip(skip)
    }

    fn skip(&mut self, mut skip: Skip) -> Option<Line> {
        let mut taken = 0;
        for &octet in self.waiting() {
            taken += 1;
            skip.skipped += 1;
            if octet == b'\n' && skip.previous_is_cr {
                self.consume(taken);
                return Some(skip.too_long.map_or(Line::Skipped, Line::TooLong));
            }
            if skip.skipped >= MAX_SKIPPED_OCTETS {
                self.consume(taken);
                return Some(Line::Endless);
            }
            skip.previous_is_cr = octet == b'\r';
        }
        self.consume(taken);
        self.skipping = Some(skip);
        None
    }
}

/// Without the octets: they may be a password.
impl fmt::Debug for LineBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineBuffer").field("waiting", &self.waiting().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8], step: usize) -> Vec<String> {
        let mut buffer = LineBuffer::default();
        let mut found = Vec::new();
        for piece in input.chunks(step) {
            buffer.push(piece);
            while let Some(line) = buffer.next_line(10) {
                found.push(match line {
                    Line::Complete(line) => line.escape_ascii().to_string(),
                    other => format!("{other:?}"),
                });
            }
        }
        found
    }

    #[test]
    fn lines_end_at_crlf_only_however_they_arrive() {
        let endless = vec![b'x'; MAX_SKIPPED_OCTETS];
        let table: &[(&[u8], &[&str])] = &[
            (b"NOOP\r\nQUIT\r\n", &["NOOP", "QUIT"]),
            (b"\r\n", &[""]),
            (b"NOOP\r", &[]),
            (b"a\rb\r\nc\r\n", &["a\\rb", "c"]),
            (b"a\r\r\n", &["a\\r"]),
            (b"12345678\r\n", &["12345678"]),
            (b"123456789\r\nc\r\n", &["TooLong(10)", "c"]),
            (b"1234567890123\r4\n\r\nc\r\n", &["TooLong(10)", "c"]),
            (b"a\nRCPT\r\nc\r\n", &["BareLineFeed", "Skipped", "c"]),
            (b"a\nb\nc\n", &["BareLineFeed"]),
            (b"\n\r\nc\r\n", &["BareLineFeed", "Skipped", "c"]),
            (&endless, &["Endless"]),
        ];
        for (input, expected) in table {
            for step in [1, 2, 3, 7, input.len()] {
                assert_eq!(
                    lines(input, step),
                    *expected,
                    "{} by {step}",
                    input[..input.len().min(40)].escape_ascii()
                );
            }
        }
    }
}
