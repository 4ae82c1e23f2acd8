use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::delimiter::{delimiter_at, holds_delimiter, next_delimiter};
use crate::header::{Entries, field_bodies};
use crate::line::line_end_of;
use crate::part_header::PartHeader;
use crate::{TransferEncoding, decode};

/// Why a message cannot be made 7-bit without changing more than the encoding of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotConvertible {
    /// A signature would break: DKIM, ARC, or a part within multipart/signed.
    #[error("a signature covers the 8-bit text")]
    Signed,
    /// Within multipart/encrypted.
    #[error("8-bit text within an encrypted part")]
    Encrypted,
    /// A header field holds octets above 127 (RFC 6532).
    #[error("a header field holds 8-bit text")]
    Header,
    /// An attached message may not be encoded (RFC 2046 §5.2.1).
    #[error("an attached message holds 8-bit text")]
    AttachedMessage,
    /// Without MIME-Version nobody would undo an encoding.
    #[error("8-bit text in a message that is not MIME")]
    NotMime,
    /// Programs would not agree on where the part ends, or how it is encoded.
    #[error("8-bit text in a part that is not well formed")]
    Malformed,
}

/// Real mail has a handful of levels and some tens of parts.
const MAX_DEPTH: usize = 32;
const MAX_PARTS: usize = 1_000;
/// Of an encoded line, RFC 2045 §6.7 and §6.8.
const MAX_ENCODED: usize = 76;

/// The same message for a server without 8BITMIME: each part with octets above 127 is encoded anew, text
/// as quoted-printable, the rest as base64. Decoded parts, other parts and all header fields but
/// Content-Transfer-Encoding stay octet for octet.
///
/// # Errors
/// When that is not possible, or would break a signature: then the message must not be sent there.
///
/// Source: RFC 6152 §3, RFC 2045 §6.
pub fn to_seven_bit(raw: &[u8]) -> Result<Vec<u8>, NotConvertible> {
    if raw.is_ascii() {
        return Ok(raw.to_vec());
    }
    let has = |name| !field_bodies(raw, name).is_empty();
    if ["DKIM-Signature", "DomainKey-Signature", "ARC-Message-Signature"].into_iter().any(has) {
        return Err(NotConvertible::Signed);
    }
    let mut conversion = Conversion { raw, open: Vec::new(), parts: 0, edits: Vec::new() };
    conversion.run()?;
    let converted = conversion.edited();
    if converted.is_ascii() { Ok(converted) } else { Err(NotConvertible::Malformed) }
}

struct Conversion<'a> {
    raw: &'a [u8],
    /// The multiparts that are open, the outermost first.
    open: Vec<Multipart>,
    parts: usize,
    edits: Vec<(Range<usize>, Vec<u8>)>,
}

struct Multipart {
    boundary: Vec<u8>,
    is_digest: bool,
    /// What stands in the way of everything within.
    seal: Option<NotConvertible>,
    /// Its own Content-Transfer-Encoding field, when that says more than 7bit.
    label: Option<Range<usize>>,
}

/// A part that holds no parts, as its header describes it.
struct Leaf {
    media_type: String,
    header: Range<usize>,
    body: Option<usize>,
    encoding: Option<TransferEncoding>,
    sound: bool,
}

impl Conversion<'_> {
    fn run(&mut self) -> Result<(), NotConvertible> {
        let mut at = 0;
        loop {
            let (leaf, header_end) = self.part(at)?;
            let Some(next) = self.next_part(leaf, header_end)? else { return Ok(()) };
            at = next;
        }
    }

    /// Reads a part's header: opens a multipart, or returns the part.
    fn part(&mut self, at: usize) -> Result<(Option<Leaf>, usize), NotConvertible> {
        let raw = self.raw;
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err(NotConvertible::Malformed);
        }
        let header = PartHeader::read(raw, at, |at| delimiter_at(raw, at, self.boundaries()).is_some());
        if !raw[at..header.end].is_ascii() {
            return Err(NotConvertible::Header);
        }
        let default = match self.open.last() {
            Some(parent) if parent.is_digest => "message/rfc822",
            _ => "text/plain",
        };
        let stated = header.content_type.as_ref().map_or("", |field| field.value.as_str());
        let media_type = if stated.is_empty() { default } else { stated }.to_owned();
        let encoding = header.transfer_encoding().ok();
        let sound = header.sound && header.content_type.as_ref().is_none_or(|field| field.sound);
        if let Some(subtype) = media_type.strip_prefix("multipart/")
            && self.opens(subtype, at, &header, encoding)
        {
            return Ok((None, header.end));
        }
        let (header, body) = (at..header.end, header.body);
        Ok((Some(Leaf { media_type, header: header.clone(), body, encoding, sound }), header.end))
    }

    /// False: its parts cannot be told apart, so it stands for one part that cannot be encoded.
    fn opens(
        &mut self,
        subtype: &str,
        at: usize,
        header: &PartHeader,
        encoding: Option<TransferEncoding>,
    ) -> bool {
        let boundary = header.content_type.as_ref().and_then(|field| field.parameter("boundary"));
        let boundary = boundary.unwrap_or_default();
        let usable = !boundary.is_empty()
            && !boundary.iter().any(u8::is_ascii_control)
            && !boundary.ends_with(b" ")
            && header.body.is_some()
            && self.open.len() < MAX_DEPTH
            && self.boundaries().all(|open| open != boundary);
        if !usable {
            return false;
        }
        let seal = match subtype {
            "signed" => Some(NotConvertible::Signed),
            "encrypted" => Some(NotConvertible::Encrypted),
            _ => None,
        };
        let label = match encoding {
            Some(TransferEncoding::EightBit | TransferEncoding::Binary) => {
                self.encoding_field(&(at..header.end))
            }
            _ => None,
        };
        let seal = self.open.last().and_then(|parent| parent.seal).or(seal);
        let boundary = boundary.to_owned();
        self.open.push(Multipart { boundary, is_digest: subtype == "digest", seal, label });
        true
    }

    /// Ends `leaf` at the first delimiter, and goes on to where the next part begins.
    fn next_part(&mut self, mut leaf: Option<Leaf>, from: usize) -> Result<Option<usize>, NotConvertible> {
        let mut at = from;
        while !self.open.is_empty() {
            let Some(delimiter) = next_delimiter(self.raw, at, &self.boundaries()) else { break };
            let between = at.min(delimiter.line.start)..delimiter.line.start;
            // Some would begin a part there, and some would not.
            if leaf.is_none() && holds_delimiter(&self.raw[between], self.boundaries()) {
                return Err(NotConvertible::Malformed);
            }
            let end = before_line_end(self.raw, delimiter.line.start).max(at);
            match leaf.take() {
                // One that ends at the delimiter of an outer multipart: its own is missing.
                Some(leaf) => self.convert(&leaf, end, delimiter.multipart + 1 == self.open.len())?,
                None => self.must_be_ascii(at..delimiter.line.start)?,
            }
            self.open.truncate(delimiter.multipart + usize::from(!delimiter.closes));
            at = delimiter.line.end;
            if !delimiter.closes {
                return Ok(Some(at));
            }
        }
        match leaf {
            Some(leaf) => self.convert(&leaf, self.raw.len(), self.open.is_empty())?,
            None => self.must_be_ascii(at..self.raw.len())?,
        }
        Ok(None)
    }

    /// Before the first delimiter and behind the last there is nothing that could be encoded.
    fn must_be_ascii(&self, range: Range<usize>) -> Result<(), NotConvertible> {
        if self.raw[range].is_ascii() { Ok(()) } else { Err(NotConvertible::Malformed) }
    }

    /// Encodes the body that ends at `end`, if it needs that.
    fn convert(&mut self, leaf: &Leaf, end: usize, proven: bool) -> Result<(), NotConvertible> {
        let raw = self.raw;
        let start = leaf.body.unwrap_or(leaf.header.end);
        let body = &raw[start..end.max(start)];
        if body.is_ascii() {
            return Ok(());
        }
        if let Some(seal) = self.open.last().and_then(|parent| parent.seal) {
            return Err(seal);
        }
        if leaf.media_type.starts_with("message/") {
            return Err(NotConvertible::AttachedMessage);
        }
        if field_bodies(raw, "MIME-Version").is_empty() {
            return Err(NotConvertible::NotMime);
        }
        let is_plain = matches!(
            leaf.encoding,
            Some(TransferEncoding::SevenBit | TransferEncoding::EightBit | TransferEncoding::Binary)
        );
        let is_leaf = leaf.media_type.contains('/') && !leaf.media_type.starts_with("multipart/");
        if !(proven && leaf.sound && is_plain && is_leaf && leaf.body.is_some()) {
            return Err(NotConvertible::Malformed);
        }

        let line_end = line_end_of(raw);
        let (name, encoding, encoded) = if leaf.media_type.starts_with("text/") {
            ("quoted-printable", TransferEncoding::QuotedPrintable, quoted_printable(body, line_end))
        } else {
            let ends_message = end == raw.len();
            ("base64", TransferEncoding::Base64, base64(body, line_end, ends_message))
        };
        // As everywhere here: what is changed is read again and compared.
        if !decode(&encoded, encoding).is_ok_and(|decoded| decoded.octets == body) {
            return Err(NotConvertible::Malformed);
        }
        self.label(&leaf.header, name);
        self.edits.push((start..end, encoded));
        for multipart in 0..self.open.len() {
            // Once is enough, and what is labelled 8bit must not hold nothing but 7bit for a 7-bit server.
            if let Some(label) = self.open[multipart].label.take() {
                self.edits.push((label, field("7bit", line_end)));
            }
        }
        Ok(())
    }

    /// Says in the part's header how it is encoded now.
    fn label(&mut self, header: &Range<usize>, encoding: &str) {
        let line_end = line_end_of(self.raw);
        let place = self.encoding_field(header).unwrap_or_else(|| {
            // Before the empty line, which a part to be converted has.
            let empty_line = before_line_end(self.raw, header.end);
            empty_line..empty_line
        });
        self.edits.push((place, field(encoding, line_end)));
    }

    fn encoding_field(&self, header: &Range<usize>) -> Option<Range<usize>> {
        let entries = Entries::new(self.raw, header.start);
        let mut fields = entries.filter_map(|entry| entry.field);
        let is_it = |name: &[u8]| name.eq_ignore_ascii_case(b"content-transfer-encoding");
        fields.find(|field| is_it(&self.raw[field.name.clone()])).map(|field| field.whole)
    }

    fn edited(mut self) -> Vec<u8> {
        self.edits.sort_by_key(|(range, _)| range.start);
        let mut edited = Vec::with_capacity(self.raw.len() + self.raw.len() / 2);
        let mut at = 0;
        for (range, octets) in self.edits {
            edited.extend_from_slice(&self.raw[at..range.start]);
            edited.extend_from_slice(&octets);
            at = range.end;
        }
        edited.extend_from_slice(&self.raw[at..]);
        edited
    }

    fn boundaries(&self) -> impl DoubleEndedIterator<Item = &[u8]> + ExactSizeIterator + Clone {
        self.open.iter().map(|multipart| multipart.boundary.as_slice())
    }
}

fn field(encoding: &str, line_end: &[u8]) -> Vec<u8> {
    [b"Content-Transfer-Encoding: ", encoding.as_bytes(), line_end].concat()
}

fn before_line_end(raw: &[u8], line_start: usize) -> usize {
    match &raw[..line_start] {
        [.., b'\r', b'\n'] => line_start - 2,
        [.., b'\n'] => line_start - 1,
        _ => line_start,
    }
}

/// RFC 2045 §6.7, with what would mean something at the beginning of a line (`.`, `From `, `--`)
/// encoded as well: soft breaks make new beginnings.
fn quoted_printable(text: &[u8], line_end: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len() * 3 / 2);
    let mut column = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with(line_end) {
            encoded.extend_from_slice(line_end);
            (at, column) = (at + line_end.len(), 0);
            continue;
        }
        let ends_line = rest.len() == 1 || rest[1..].starts_with(line_end);
        let mut unit = Unit::of(rest, ends_line, column == 0);
        // Room for the soft break's `=`, unless the line ends here anyway.
        if column + unit.length() > MAX_ENCODED - usize::from(!ends_line) {
            encoded.push(b'=');
            encoded.extend_from_slice(line_end);
            column = 0;
            unit = Unit::of(rest, ends_line, true);
        }
        unit.write(&mut encoded);
        column += unit.length();
        at += 1;
    }
    encoded
}

/// One octet of quoted-printable.
enum Unit {
    Itself(u8),
    Escaped(u8),
}

impl Unit {
    fn of(rest: &[u8], ends_line: bool, begins_line: bool) -> Self {
        let octet = rest[0];
        let means_something = begins_line
            && (octet == b'.' || rest.starts_with(b"From ") || rest.starts_with(b"--") || rest == b"-");
        match octet {
            b' ' | b'\t' if !ends_line => Self::Itself(octet),
            b'!'..=b'~' if octet != b'=' && !means_something => Self::Itself(octet),
            _ => Self::Escaped(octet),
        }
    }

    fn length(&self) -> usize {
        if matches!(self, Self::Itself(_)) { 1 } else { 3 }
    }

    fn write(&self, encoded: &mut Vec<u8>) {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        match self {
            Self::Itself(octet) => encoded.push(*octet),
            Self::Escaped(octet) => {
                encoded.extend([b'=', DIGITS[usize::from(octet >> 4)], DIGITS[usize::from(octet & 15)]]);
            }
        }
    }
}

/// Lines of base64. The line end before a delimiter is the delimiter's; at the end of a message there is one.
fn base64(octets: &[u8], line_end: &[u8], ends_message: bool) -> Vec<u8> {
    let lines: Vec<String> = octets.chunks(MAX_ENCODED / 4 * 3).map(|line| STANDARD.encode(line)).collect();
    let lines: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
    let mut encoded = lines.join(line_end);
    if ends_message {
        encoded.extend_from_slice(line_end);
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIME: &str = "MIME-Version: 1.0\r\nSubject: x\r\n";

    fn converted(raw: &str) -> Result<String, NotConvertible> {
        to_seven_bit(raw.as_bytes()).map(|octets| String::from_utf8(octets).unwrap())
    }

    #[test]
    fn text_becomes_quoted_printable_and_the_rest_base64() {
        for (case, raw, expected) in [
            (
                "text with a label",
                "Content-Type: text/plain; charset=utf-8\r\ncontent-transfer-encoding:\r\n 8bit\r\nX: y\r\n\r\nhé = \r\n.\r\n",
                "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\nX: y\r\n\r\nh=C3=A9 =3D=20\r\n=2E\r\n",
            ),
            (
                "without one",
                "Content-Type: text/html; charset=utf-8\r\n\r\n<p>é",
                "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>=C3=A9",
            ),
            (
                "another type",
                "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\né\0\r\n",
                "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nw6kADQo=\r\n",
            ),
            (
                "multipart",
                "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\npre\r\n--b\r\n\r\né\r\n--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\nascii\r\n--b\r\nContent-Type: image/svg+xml\r\n\r\né\r\n--b--\r\npost\r\n",
                "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 7bit\r\n\r\npre\r\n--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9\r\n--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\nascii\r\n--b\r\nContent-Type: image/svg+xml\r\nContent-Transfer-Encoding: base64\r\n\r\nw6k=\r\n--b--\r\npost\r\n",
            ),
            (
                "beside a signed part without 8-bit text",
                "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/signed; boundary=c\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--c\r\n\r\nascii\r\n--c--\r\n--b\r\n\r\né\r\n--b--\r\n",
                "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/signed; boundary=c\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--c\r\n\r\nascii\r\n--c--\r\n--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9\r\n--b--\r\n",
            ),
        ] {
            assert_eq!(converted(&format!("{MIME}{raw}")).unwrap(), format!("{MIME}{expected}"), "{case}");
        }
        assert_eq!(converted("no header\r\n").unwrap(), "no header\r\n");
    }

    #[test]
    fn what_must_not_be_changed_is_refused() {
        use NotConvertible::{AttachedMessage, Encrypted, Header, Malformed, NotMime, Signed};
        for (case, raw, why) in [
            ("DKIM", "MIME-Version: 1.0\r\nDKIM-Signature: v=1\r\n\r\né", Signed),
            ("ARC", "MIME-Version: 1.0\r\nARC-Message-Signature: i=1\r\n\r\né", Signed),
            (
                "signed",
                "MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\né\r\n--b--\r\n",
                Signed,
            ),
            (
                "deep within signed",
                "MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\né\r\n--c--\r\n--b--\r\n",
                Signed,
            ),
            (
                "encrypted",
                "MIME-Version: 1.0\r\nContent-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\n\r\né\r\n--b--\r\n",
                Encrypted,
            ),
            ("header", "MIME-Version: 1.0\r\nSubject: é\r\n\r\nx", Header),
            (
                "header of a part",
                "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: é\r\n\r\nx\r\n--b--\r\n",
                Header,
            ),
            (
                "attached message",
                "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: é\r\n\r\n--b--\r\n",
                AttachedMessage,
            ),
            (
                "a digest's",
                "MIME-Version: 1.0\r\nContent-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: é\r\n\r\n--b--\r\n",
                AttachedMessage,
            ),
            ("no MIME", "Subject: x\r\n\r\né", NotMime),
            (
                "preamble",
                "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\né\r\n--b\r\n\r\nx\r\n--b--\r\n",
                Malformed,
            ),
            (
                "epilogue",
                "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\né",
                Malformed,
            ),
            (
                "no end",
                "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\né\r\n",
                Malformed,
            ),
            ("no boundary", "MIME-Version: 1.0\r\nContent-Type: multipart/mixed\r\n\r\né", Malformed),
            (
                "said to be encoded",
                "MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\né",
                Malformed,
            ),
            (
                "encoded in a way nobody knows",
                "MIME-Version: 1.0\r\nContent-Transfer-Encoding: x-own\r\n\r\né",
                Malformed,
            ),
            (
                "two types",
                "MIME-Version: 1.0\r\nContent-Type: text/html\r\nContent-Type: text/plain\r\n\r\né",
                { Malformed },
            ),
            ("no type", "MIME-Version: 1.0\r\nContent-Type: html\r\n\r\né", Malformed),
        ] {
            assert_eq!(converted(raw), Err(why), "{case}");
        }
    }

    #[test]
    fn soft_breaks_begin_no_delimiter_and_end_no_message() {
        for length in 60..90 {
            for tail in ["--b", ".", "From x", "-", " ", "\t", "é", "=", "", "--b\r\n.\r\nFrom \r\n"] {
                let text = format!("é{}{tail}", "x".repeat(length));
                let encoded = quoted_printable(text.as_bytes(), b"\r\n");
                assert_eq!(
                    decode(&encoded, TransferEncoding::QuotedPrintable).unwrap().octets,
                    text.as_bytes()
                );
                for line in encoded.split(|octet| *octet == b'\n') {
                    let line = line.strip_suffix(b"\r").unwrap_or(line);
                    assert!(line.len() <= 76, "{length} {tail}");
                    assert!(
                        !line.starts_with(b"--") && !line.starts_with(b".") && !line.starts_with(b"From ")
                    );
                    assert!(!line.ends_with(b" ") && !line.ends_with(b"\t"));
                }
            }
        }
    }
}
