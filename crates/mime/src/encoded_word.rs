use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use mail_parser::decoders::charsets::map::charset_decoder;

/// Nobody reads more, and looking for the ends of words that have none takes the square of it.
const MAX_OCTETS: usize = 16_384;

/// A field body with its encoded words decoded, for display (RFC 2047).
///
/// White space between two encoded words goes; two in the same charset are decoded together, since many programs cut
/// between the octets of one character. Words are decoded inside quoted strings too, as mail programs
/// do. Control characters in a decoded word become blanks. A word that is malformed or in an unknown charset stays as it is, and so does a body of more than 16 KiB.
pub fn decode_words(body: &str) -> String {
    if body.len() > MAX_OCTETS {
        return body.to_owned();
    }
    let mut shown = String::with_capacity(body.len());
    let mut run = Run::default();
    let mut rest = body;
    while let Some(at) = rest.find("=?") {
        let (before, word_and_rest) = rest.split_at(at);
        if let Some((word, after)) = encoded_word(word_and_rest) {
            if run.charset.is_empty() || !before.trim().is_empty() {
                run.end(&mut shown);
                shown.push_str(before);
            }
            run.push(word, &mut shown);
            rest = after;
        } else {
            run.end(&mut shown);
            shown.push_str(before);
            shown.push_str("=?");
            rest = &word_and_rest[2..];
        }
    }
    run.end(&mut shown);
    shown.push_str(rest);
    shown
}

struct Word<'a> {
    /// Without a language tag (RFC 2231 §5).
    charset: &'a str,
    octets: Vec<u8>,
}

/// Encoded words in the same charset with nothing but white space between them.
#[derive(Default)]
struct Run<'a> {
    charset: &'a str,
    octets: Vec<u8>,
}

impl<'a> Run<'a> {
    fn push(&mut self, word: Word<'a>, shown: &mut String) {
        if !self.charset.eq_ignore_ascii_case(word.charset) {
            self.end(shown);
            self.charset = word.charset;
        }
        self.octets.extend(word.octets);
    }

    fn end(&mut self, shown: &mut String) {
        // The charset was looked up when the word was taken, so there is text.
        let text = in_charset(self.charset, &self.octets).unwrap_or_default();
        shown.extend(text.chars().map(|c| if c.is_control() { ' ' } else { c }));
        *self = Run::default();
    }
}

/// The encoded word that `text` begins with, and what follows it.
fn encoded_word(text: &str) -> Option<(Word<'_>, &str)> {
    let (charset, rest) = text.strip_prefix("=?")?.split_once('?')?;
    let (encoding, rest) = rest.split_once('?')?;
    let (encoded, after) = rest.split_once("?=")?;
    let charset = charset.split_once('*').map_or(charset, |(charset, _language)| charset);
    let token = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic());
    if !token(charset) || encoded.contains('?') || in_charset(charset, b"").is_none() {
        return None;
    }
    let octets = match encoding {
        "Q" | "q" => q_decoded(encoded.as_bytes())?,
        "B" | "b" => b_decoded(encoded)?,
        _ => return None,
    };
    Some((Word { charset, octets }, after))
}

fn q_decoded(encoded: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(encoded.len());
    let mut rest = encoded.iter();
    while let Some(&octet) = rest.next() {
        octets.push(match octet {
            b'_' => b' ',
            b'=' => crate::quoted_printable::hex_octet(*rest.next()?, *rest.next()?)?,
            _ => octet,
        });
    }
    Some(octets)
}

fn b_decoded(encoded: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    LENIENT.decode(encoded.split_ascii_whitespace().collect::<String>()).ok()
}

/// The text of these octets; none when the charset is unknown.
fn in_charset(charset: &str, octets: &[u8]) -> Option<String> {
    if ["utf-8", "utf8", "us-ascii"].iter().any(|name| charset.eq_ignore_ascii_case(name)) {
        return Some(String::from_utf8_lossy(octets).into_owned());
    }
    // The table's keys have at most 45 octets; it compares no more than those.
    if charset.len() > 45 {
        return None;
    }
    charset_decoder(charset.as_bytes()).map(|decoder| decoder(octets))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_decoded_for_display() {
        for (case, body, shown) in [
            ("plain text", "Hello, world", "Hello, world"),
            ("q", "=?utf-8?q?Caf=C3=A9_au_lait?=", "Café au lait"),
            ("b", "=?UTF-8?B?R3LDvMOfZQ==?=", "Grüße"),
            ("b without padding", "=?UTF-8?B?R3LDvMOfZQ?=", "Grüße"),
            ("b, a character cut in two", "=?utf-8?b?R3LD?= =?utf-8?b?vMOfZQ==?=", "Grüße"),
            ("text around", "Re: =?iso-8859-1?q?Stra=DFe?= 5 (=?utf-8?q?x?=)", "Re: Straße 5 (x)"),
            ("two charsets", "=?iso-8859-1?q?=DF?=  =?koi8-r?b?8A==?=", "ßП"),
            ("white space to text stays", "=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"),
            ("an address", "\"=?utf-8?q?M=C3=BCller?=\" <m@x.example>", "\"Müller\" <m@x.example>"),
            ("language tag", "=?utf-8*de?q?a?=", "a"),
            ("Japanese", "=?ISO-2022-JP?B?GyRCJDMkcyRLJEEkTxsoQg==?=", "こんにちは"),
            ("Chinese", "=?gb2312?B?xOO6ww==?=", "你好"),
            ("a line break inside", "=?utf-8?q?a=0D=0Ab?=", "a  b"),
            ("a blank inside q", "=?utf-8?q?a b?=", "a b"),
            ("unknown charset", "=?x-nobody?q?a?=", "=?x-nobody?q?a?="),
            ("unknown encoding", "=?utf-8?x?a?=", "=?utf-8?x?a?="),
            ("no end", "=?utf-8?q?a", "=?utf-8?q?a"),
            ("no charset", "=??q?a?=", "=??q?a?="),
            ("bad hex", "=?utf-8?q?a=zz?=", "=?utf-8?q?a=zz?="),
            ("bad base64", "=?utf-8?b?a!?=", "=?utf-8?b?a!?="),
            ("bad, then good", "=?=?utf-8?q?a?=", "=?a"),
            ("octets not of the charset", "=?utf-8?q?=FFa?=", "\u{fffd}a"),
            ("an empty word", "a =?utf-8?q??= b", "a  b"),
        ] {
            assert_eq!(decode_words(body), shown, "{case}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back_without_a_panic(body in "[ -~é\t]{0,40}(=\\?[a-z0-9_-]{1,14}\\?[qbQB]\\?[A-Za-z0-9=+/_]{0,20}\\?= ?){0,3}.{0,9}") {
            let _ = decode_words(&body);
        }

        #[test]
        fn octets_in_any_charset_do_not_panic(at in 0..CHARSETS.len(), octets: Vec<u8>) {
            prop_assert!(in_charset(CHARSETS[at], &octets).is_some());
        }
    }

    const CHARSETS: &[&str] = &[
        "utf-7",
        "utf-16",
        "utf-16le",
        "utf-16be",
        "iso-2022-jp",
        "shift_jis",
        "euc-jp",
        "euc-kr",
        "gb18030",
        "gbk",
        "big5",
        "koi8-r",
        "windows-1251",
        "iso-8859-15",
        "macintosh",
        "ibm850",
        "ibm866",
        "hz-gb-2312",
    ];
}
