use std::borrow::Cow;

use encoding_rs::{Encoding, ISO_2022_JP, UTF_8, WINDOWS_1252};
use envelope::Reason;

/// How to read the text of a part whose ASCII octets mean ASCII.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Charset {
    encoding: &'static Encoding,
}

/// A part as the scan may see it: as long as the original, and an ASCII octet in it is that character.
pub(crate) struct Scannable<'a> {
    pub(crate) octets: Cow<'a, [u8]>,
    /// ASCII may be added at the very end.
    pub(crate) ends_in_ascii: bool,
}

/// Labels that RFC 2045 mail uses for charsets whose ASCII octets may mean something else, beside those that
/// `encoding_rs` knows.
const NOT_ASCII_COMPATIBLE: &[&str] = &[
    "utf-7",
    "unicode-1-1-utf-7",
    "x-unicode-2-0-utf-7",
    "utf-32",
    "utf-32le",
    "utf-32be",
    "ucs-2",
    "ucs-4",
    "iso-10646-ucs-2",
    "iso-10646-ucs-4",
    "hz-gb-2312",
    "hz",
    "iso-2022-kr",
    "iso-2022-cn",
    "iso-2022-cn-ext",
    "iso-2022-jp-1",
    "iso-2022-jp-2",
    "iso-2022-jp-3",
    "iso-2022-jp-2004",
    "cp037",
    "ibm037",
    "cp500",
    "ibm500",
    "cp1047",
    "ibm1047",
];

impl Charset {
    /// # Errors
    /// With the reason to leave the part alone.
    pub(crate) fn find(label: Option<&str>, octets: &[u8]) -> Result<Self, Reason> {
        if starts_like_utf_16(octets) {
            return Err(Reason::CharsetNotAsciiCompatible);
        }
        let label = label.unwrap_or("us-ascii").trim_matches([' ', '\t', '"', '\'']);
        if label.is_empty() || label.eq_ignore_ascii_case("us-ascii") || label.eq_ignore_ascii_case("ascii") {
            return Ok(Self { encoding: guess(octets) });
        }
        if NOT_ASCII_COMPATIBLE.iter().any(|known| known.eq_ignore_ascii_case(label)) {
            return Err(Reason::CharsetNotAsciiCompatible);
        }
        let encoding = Encoding::for_label_no_replacement(label.as_bytes()).ok_or(Reason::UnknownCharset)?;
        if encoding.is_ascii_compatible() || encoding == ISO_2022_JP {
            Ok(Self { encoding })
        } else {
            Err(Reason::CharsetNotAsciiCompatible)
        }
    }

    /// The octets for the scan. Where ISO-2022-JP has two-byte characters, which are printable ASCII octets and may be
    /// `<` or `"`, there stands `x`.
    pub(crate) fn scannable<'a>(&self, octets: &'a [u8]) -> Result<Scannable<'a>, Reason> {
        if self.encoding == ISO_2022_JP {
            mask(octets)
        } else {
            Ok(Scannable { octets: Cow::Borrowed(octets), ends_in_ascii: true })
        }
    }

    /// May a line end anywhere among ASCII characters? In ISO-2022-JP the sets that differ from ASCII in a character or two are
    /// taken for it here, and no line may end in one (RFC 1468).
    pub(crate) fn lines_may_end(&self) -> bool {
        self.encoding != ISO_2022_JP
    }

    /// Decodes octets that begin where ASCII means ASCII. `None`: not sound in this charset.
    pub(crate) fn decode<'a>(&self, octets: &'a [u8]) -> Option<Cow<'a, str>> {
        // In ISO-2022-JP an escape is ASCII too.
        if octets.is_ascii() && self.encoding != ISO_2022_JP {
            return std::str::from_utf8(octets).ok().map(Cow::Borrowed);
        }
        self.encoding.decode_without_bom_handling_and_without_replacement(octets)
    }

    /// Decodes, with U+FFFD for what is not sound.
    pub(crate) fn decode_lossy<'a>(&self, octets: &'a [u8]) -> Cow<'a, str> {
        self.encoding.decode_without_bom_handling(octets).0
    }

    /// How a URL's query is encoded before it is percent-encoded (WHATWG URL §4.4, query state).
    pub(crate) fn encode_query(self, query: &str) -> Cow<'_, [u8]> {
        self.encoding.encode(query).0
    }

    /// Can this charset say all of the text?
    pub(crate) fn can_encode(&self, text: &str) -> bool {
        text.is_ascii() || self.encoding.output_encoding() == UTF_8 || !self.encoding.encode(text).2
    }

    /// Queries are encoded in UTF-8, as the URL parser does by itself.
    pub(crate) fn is_utf_8(&self) -> bool {
        self.encoding.output_encoding() == UTF_8
    }
}

/// No label, or one that promises ASCII: mail programs look at what is there.
fn guess(octets: &[u8]) -> &'static Encoding {
    const ESCAPE: u8 = 0x1b;
    if octets.windows(2).any(|pair| pair[0] == ESCAPE && matches!(pair[1], b'$' | b'(')) {
        ISO_2022_JP
    } else if std::str::from_utf8(octets).is_ok() {
        UTF_8
    } else {
        WINDOWS_1252
    }
}

fn starts_like_utf_16(octets: &[u8]) -> bool {
    match octets {
        [0xfe, 0xff, ..] | [0xff, 0xfe, ..] => true,
        [first, second, ..] => (*first == 0) != (*second == 0),
        _ => false,
    }
}

/// What an ISO-2022-JP escape switches to (RFC 1468, and the JIS X 0201 katakana and JIS X 0212 that programs also send).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Set {
    Ascii,
    Other,
}

fn mask(octets: &[u8]) -> Result<Scannable<'_>, Reason> {
    const ESCAPES: &[(&[u8], Set)] = &[
        (b"(B", Set::Ascii),
        (b"(J", Set::Ascii),
        (b"(I", Set::Other),
        (b"$@", Set::Other),
        (b"$B", Set::Other),
        (b"$(D", Set::Other),
    ];
    let mut masked = octets.to_vec();
    let (mut at, mut set) = (0, Set::Ascii);
    while let Some(&octet) = octets.get(at) {
        let escape = if octet == 0x1b {
            let rest = &octets[at + 1..];
            // An escape we do not know: what follows may be anything.
            Some(ESCAPES.iter().find(|(name, _)| rest.starts_with(name)).ok_or(Reason::HtmlNotFollowed)?)
        } else {
            None
        };
        let length = escape.map_or(1, |(name, _)| 1 + name.len());
        if escape.is_some() || set == Set::Other {
            // Programs disagree whether a line's end ends the two-byte run too.
            if matches!(octet, b'\r' | b'\n') {
                return Err(Reason::HtmlNotFollowed);
            }
            masked[at..at + length].fill(b'x');
        }
        if let Some((_, next)) = escape {
            set = *next;
        }
        at += length;
    }
    Ok(Scannable { octets: Cow::Owned(masked), ends_in_ascii: set == Set::Ascii })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        for good in [
            "utf-8",
            "UTF-8",
            " utf8 ",
            "\"utf-8\"",
            "us-ascii",
            "ASCII",
            "",
            "iso-8859-1",
            "ISO-8859-15",
            "windows-1252",
            "windows-1251",
            "koi8-r",
            "shift_jis",
            "euc-jp",
            "gbk",
            "gb2312",
            "gb18030",
            "big5",
            "euc-kr",
            "ks_c_5601-1987",
            "iso-2022-jp",
            "tis-620",
            "macintosh",
        ] {
            assert!(Charset::find(Some(good), b"<p>a").is_ok(), "{good}");
        }
        assert!(Charset::find(None, b"").is_ok());
        for bad in [
            "utf-16",
            "UTF-16LE",
            "utf-16be",
            "UTF-7",
            "utf-32",
            "hz-gb-2312",
            "iso-2022-kr",
            "IBM037",
            "iso-2022-jp-2",
        ] {
            assert_eq!(
                Charset::find(Some(bad), b"<p>a").unwrap_err(),
                Reason::CharsetNotAsciiCompatible,
                "{bad}"
            );
        }
        for unknown in ["cp850", "ibm437", "x-unknown", "default", "utf-8; format=flowed", "\u{e9}"] {
            assert_eq!(
                Charset::find(Some(unknown), b"<p>a").unwrap_err(),
                Reason::UnknownCharset,
                "{unknown}"
            );
        }
        for utf_16 in [b"\xff\xfe<\0".as_slice(), b"\xfe\xff\0<", b"<\0p\0", b"\0<\0p"] {
            assert_eq!(Charset::find(Some("utf-8"), utf_16).unwrap_err(), Reason::CharsetNotAsciiCompatible);
        }
    }

    #[test]
    fn two_byte_runs_of_iso_2022_jp_are_masked() {
        // "山<" could be read into the middle of a two-byte character: 0x3C is a trail octet too.
        let jp = Charset::find(Some("iso-2022-jp"), b"").unwrap();
        let html = b"<p>\x1b$B;3<i\x1b(B</p><a href=\"x\">";
        let seen = jp.scannable(html).unwrap();
        assert_eq!(&*seen.octets, b"<p>xxxxxxxxxx</p><a href=\"x\">");
        assert!(seen.ends_in_ascii);
        assert_eq!(jp.decode(&html[3..13]).unwrap(), "山守");
        assert!(!jp.scannable(b"\x1b$B;3").unwrap().ends_in_ascii);
        assert_eq!(&*jp.scannable(b"\x1b(J<\x1b(I<\x1b(B<").unwrap().octets, b"xxx<xxxxxxx<");
        for doubtful in [b"\x1b$B;3\r\n<p>".as_slice(), b"\x1b", b"\x1b$(C;3", b"\x1b$"] {
            assert_eq!(
                jp.scannable(doubtful).err(),
                Some(Reason::HtmlNotFollowed),
                "{}",
                doubtful.escape_ascii()
            );
        }
        // A part that promises nothing and has the escapes.
        let guessed = Charset::find(None, html).unwrap();
        assert_eq!(guessed.scannable(html).unwrap().octets, seen.octets);
    }

    #[test]
    fn trail_octets_that_look_like_ascii_decode_as_the_characters_they_are() {
        let sjis = Charset::find(Some("shift_jis"), b"").unwrap();
        assert_eq!(sjis.decode(b"\x83\x5c\x95\x5c").unwrap(), "ソ表");
        assert_eq!(sjis.decode(b"\x83"), None);
        assert_eq!(sjis.decode_lossy(b"a\x83"), "a\u{fffd}");
        assert_eq!(&*sjis.encode_query("ソ"), b"\x83\x5c");
        assert!(sjis.can_encode("ソ") && !sjis.can_encode("€"));
        assert!(Charset::find(None, b"").unwrap().can_encode("€"));
        assert_eq!(Charset::find(None, b"caf\xe9").unwrap().decode(b"\xe9").unwrap(), "é");
        assert_eq!(Charset::find(None, "é".as_bytes()).unwrap().decode("é".as_bytes()).unwrap(), "é");
    }
}
