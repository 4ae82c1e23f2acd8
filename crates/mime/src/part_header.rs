use std::ops::Range;

use crate::header::{Entries, unfolded};
use crate::media_type::Parameterized;
use crate::{Obstacle, TransferEncoding};

/// What the header of a part, or of the message, says about its body (RFC 2045 §3).
#[derive(Debug, Default)]
pub(crate) struct PartHeader {
    pub(crate) content_type: Option<Parameterized>,
    pub(crate) disposition: Option<Parameterized>,
    transfer_encodings: Vec<String>,
    pub(crate) content_id: Option<String>,
    /// The lines of the Content-Type and Content-Disposition fields.
    pub(crate) shaping_fields: Vec<Range<usize>>,
    /// Where the body begins; none when the empty line is missing.
    pub(crate) body: Option<usize>,
    /// Where the header ends.
    pub(crate) end: usize,
    /// No line of it is read in two ways by two programs.
    pub(crate) sound: bool,
    /// A second Content-Type says that it is a multipart, and programs differ in which of them counts.
    pub(crate) maybe_multipart: bool,
}

impl PartHeader {
    /// Reads the header that begins at `at`. `ends_at` says whether a line that begins there is a delimiter, which ends a
    /// header that has no empty line.
    pub(crate) fn read(raw: &[u8], at: usize, ends_at: impl Fn(usize) -> bool) -> Self {
        let mut header = Self { sound: true, ..Self::default() };
        let mut entries = Entries::new(raw, at);
        let mut end = None;
        for entry in &mut entries {
            if ends_at(entry.lines.start) {
                end = Some(entry.lines.start);
                break;
            }
            let Some(field) = entry.field else {
                header.sound = false;
                continue;
            };
            let name = raw[field.name.clone()].to_ascii_lowercase();
            if !name.starts_with(b"content-") {
                // White space alone on a folded line ends the header for some.
                header.sound &= !has_blank_line(&raw[field.whole]);
                continue;
            }
            // White space before the colon: not every program sees a field there.
            header.sound &= raw[field.name.end] == b':' && !has_blank_line(&raw[field.whole.clone()]);
            let body = &raw[field.body];
            match name.as_slice() {
                b"content-type" => {
                    if header.content_type.is_some() {
                        header.sound = false;
                        header.maybe_multipart |=
                            unfolded(body).to_ascii_lowercase().starts_with("multipart");
                        continue;
                    }
                    header.content_type = Some(Parameterized::parse(body));
                    header.shaping_fields.push(field.whole);
                }
                b"content-disposition" => {
                    if header.disposition.is_some() {
                        header.sound = false;
                        continue;
                    }
                    header.disposition = Some(Parameterized::parse(body));
                    header.shaping_fields.push(field.whole);
                }
                // Two are as bad as many.
                b"content-transfer-encoding" if header.transfer_encodings.len() < 2 => {
                    header.transfer_encodings.push(unfolded(body));
                }
                b"content-id" => header.content_id = Some(unfolded(body)),
                _ => {}
            }
        }
        header.body = entries.empty_line.then_some(entries.at);
        header.end = end.unwrap_or(entries.at);
        header
    }

    /// Exactly one known content-transfer-encoding, or none, which means 7bit.
    pub(crate) fn transfer_encoding(&self) -> Result<TransferEncoding, Obstacle> {
        match self.transfer_encodings.as_slice() {
            [] => Ok(TransferEncoding::SevenBit),
            [one] => TransferEncoding::from_field(one).ok_or(Obstacle::UnknownTransferEncoding),
            _ => Err(Obstacle::SeveralTransferEncodings),
        }
    }

    /// Does it have a file name? Then it may be meant as an attachment.
    pub(crate) fn is_named(&self) -> bool {
        let has = |field: &Option<Parameterized>, name| {
            field.as_ref().is_some_and(|field| field.parameter(name).is_some())
        };
        has(&self.content_type, "name") || has(&self.disposition, "filename")
    }
}

/// The first line is not looked at: it begins with the name.
fn has_blank_line(field: &[u8]) -> bool {
    field.split(|&octet| octet == b'\n').rev().skip(1).any(|line| line.trim_ascii().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> PartHeader {
        PartHeader::read(raw.as_bytes(), 0, |at| raw[at..].starts_with("--b"))
    }

    #[test]
    fn soundness() {
        for (case, raw, sound) in [
            ("plain", "Content-Type: text/html\r\nX: y\r\n\r\n", true),
            ("folded", "X: y\r\n z\r\nContent-Type:\r\n text/html\r\n\r\n", true),
            ("a line that is no field", "Content-Type: text/html\r\nhello\r\n\r\n", false),
            ("a continuation first", " x\r\nContent-Type: text/html\r\n\r\n", false),
            ("white space before the colon", "Content-Type : text/html\r\n\r\n", false),
            ("the same elsewhere", "Subject : x\r\nContent-Type: text/html\r\n\r\n", true),
            ("a line of white space", "X: y\r\n \r\nContent-Type: text/html\r\n\r\n", false),
            ("the same within a field", "X: y\r\n \r\n z\r\nContent-Type: text/html\r\n\r\n", false),
            ("two types", "Content-Type: text/html\r\ncontent-type: text/plain\r\n\r\n", false),
            ("two dispositions", "Content-Disposition: inline\r\nContent-Disposition: inline\r\n\r\n", false),
        ] {
            assert_eq!(read(raw).sound, sound, "{case}");
        }
    }

    #[test]
    fn a_header_ends_at_the_empty_line_or_the_delimiter() {
        for (raw, body, end) in [
            ("X: y\r\n\r\nz", Some(8), 8),
            ("\r\nz", Some(2), 2),
            ("X: y\r\n--b\r\n", None, 6),
            ("--b\r\n", None, 0),
            ("X: y", None, 4),
        ] {
            let header = read(raw);
            assert_eq!((header.body, header.end), (body, end), "{raw:?}");
        }
    }

    #[test]
    fn one_known_transfer_encoding_or_none() {
        for (raw, expected) in [
            ("\r\n", Ok(TransferEncoding::SevenBit)),
            ("Content-Transfer-Encoding:\r\n\tBASE64 \r\n\r\n", Ok(TransferEncoding::Base64)),
            ("Content-Transfer-Encoding: base64;\r\n\r\n", Err(Obstacle::UnknownTransferEncoding)),
            ("Content-Transfer-Encoding:\r\n\r\n", Err(Obstacle::UnknownTransferEncoding)),
            (
                "Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: 7bit\r\n\r\n",
                Err(Obstacle::SeveralTransferEncodings),
            ),
        ] {
            assert_eq!(read(raw).transfer_encoding(), expected, "{raw:?}");
        }
    }

    #[test]
    fn names_are_noticed_in_every_form() {
        for (raw, named) in [
            ("Content-Type: text/html; name=a.html\r\n\r\n", true),
            ("Content-Type: text/html; name*=utf-8''a.html\r\n\r\n", true),
            ("Content-Disposition: inline; filename*0=a; filename*1=b\r\n\r\n", true),
            ("Content-Disposition: inline; size=5\r\nContent-Type: text/html\r\n\r\n", false),
        ] {
            assert_eq!(read(raw).is_named(), named, "{raw:?}");
        }
    }
}
