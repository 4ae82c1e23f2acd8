use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use envelope::{RelayId, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::target::{self, MintError};
use crate::token::{
    self, KEY_ID_OCTETS, KeyId, LinkToken, MAC_OCTETS, MAX_OCTETS, PixelToken, Recipient, RefusalToken,
    UnsubscribeToken,
};

/// The keys of an installation: the newest signs, all open.
///
/// `Debug` prints their ids and nothing else.
#[derive(Clone)]
pub struct Keys {
    /// Never empty; the first one signs.
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: KeyId,
    secret: [u8; 32],
    /// Files of earlier versions do not say.
    made_at: Option<Timestamp>,
    /// Keyed once and cloned for each token, which halves the cost of a short one.
    mac: Hmac<Sha256>,
}

/// What may be known of a key: everything but its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Eight hexadecimal digits, made from the secret; tokens name it.
    pub id: String,
    /// New tokens are signed with it.
    pub signs: bool,
    /// When it was made, if the file says so.
    pub made_at: Option<Timestamp>,
}

/// Why a text is not a key file. Says the line, never what stands in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// A line that is no key line.
    #[error("line {line} is not of the form: id, secret, perhaps made=TIME, and \"signs\" or nothing")]
    Malformed {
        /// Counted from 1.
        line: usize,
    },
    /// An id that does not belong to its secret: something was cut off or mistyped.
    #[error("line {line}: the secret does not belong to the id; one of them was damaged")]
    Damaged {
        /// Counted from 1.
        line: usize,
    },
    /// The same key twice.
    #[error("line {line} repeats an earlier key")]
    Repeated {
        /// Counted from 1.
        line: usize,
    },
    /// No key at all.
    #[error("there is no key in it")]
    Empty,
    /// None or several marked as the one that signs.
    #[error("exactly one key must be marked \"signs\"; {0} are")]
    Signs(usize),
}

const SIGNS: &str = "signs";
const MADE: &str = "made=";

const PREAMBLE: &str = "\
# Waxseal's signing keys. Secret: whoever has them can make links that look like yours.
#
# Every tracked link in mail already sent needs these keys to lead anywhere, and no copy of them exists
# elsewhere. If this file is lost, those links are dead for good. Keep it in every backup.
#
# One key a line: its id, its secret, when it was made, and \"signs\" at the one that signs new links. All of
# them open old ones. `waxseal keys` changes this file.
";

impl Keys {
    /// One key, made of 32 random octets.
    pub fn generate(secret: [u8; 32]) -> Self {
        Self { keys: vec![Key::new(secret, None)] }
    }

    /// The same, with the time written beside it.
    pub fn generate_at(secret: [u8; 32], at: Timestamp) -> Self {
        Self { keys: vec![Key::new(secret, Some(at))] }
    }

    /// From the text of a key file.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        let mut keys: Vec<Key> = Vec::new();
        let (mut signing, mut marked) = (0, 0);
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let (key, signs) = parse_line(content, line)?;
            if keys.iter().any(|earlier| earlier.secret == key.secret) {
                return Err(KeysError::Repeated { line });
            }
            if signs {
                signing = keys.len();
                marked += 1;
            }
            keys.push(key);
        }
        match (keys.len(), marked) {
            (0, _) => Err(KeysError::Empty),
            (_, 1) => {
                keys[..=signing].rotate_right(1);
                Ok(Self { keys })
            }
            (_, several) => Err(KeysError::Signs(several)),
        }
    }

    /// The text of a key file; [`Keys::parse`] reads it. It holds the secrets.
    pub fn to_text(&self) -> String {
        let mut text = String::from(PREAMBLE);
        for (at, key) in self.keys.iter().enumerate() {
            let made = key.made_at.map(|made_at| format!(" {MADE}{made_at}")).unwrap_or_default();
            let mark = if at == 0 { format!(" {SIGNS}") } else { String::new() };
            let _ = writeln!(text, "{} {}{made}{mark}", hex(key.id), STANDARD.encode(key.secret));
        }
        text
    }

    /// Signs with this key from now on. The others go on opening what they signed.
    pub fn rotate(&mut self, secret: [u8; 32]) {
        self.sign_with_new(Key::new(secret, None));
    }

    /// The same, with the time written beside the key.
    pub fn rotate_at(&mut self, secret: [u8; 32], at: Timestamp) {
        self.sign_with_new(Key::new(secret, Some(at)));
    }

    fn sign_with_new(&mut self, key: Key) {
        self.keys.retain(|known| known.secret != key.secret);
        self.keys.insert(0, key);
    }

    /// Opens with this key too, and goes on signing as before: for a key that every node is to have before one of
    /// them signs with it. One that is there stays as it is.
    pub fn prepare(&mut self, secret: [u8; 32], at: Timestamp) {
        self.add(Key::new(secret, Some(at)));
    }

    /// Signs with the key of this id from now on; says whether that is a change. `None`: there is not exactly one.
    pub fn sign_with(&mut self, id: &str) -> Option<bool> {
        let mut known = self.keys.iter().enumerate().filter(|(_, key)| hex(key.id) == id);
        let (Some((at, _)), None) = (known.next(), known.next()) else { return None };
        self.keys[..=at].rotate_right(1);
        Some(at != 0)
    }

    /// Opens with the keys of `other` too; signs as before. Returns how many were not there.
    pub fn merge(&mut self, other: &Self) -> usize {
        other.keys.iter().filter(|key| self.add((*key).clone())).count()
    }

    fn add(&mut self, key: Key) -> bool {
        let is_new = self.keys.iter().all(|known| known.secret != key.secret);
        if is_new {
            self.keys.push(key);
        }
        is_new
    }

    /// The keys without their secrets, the one that signs first.
    pub fn list(&self) -> Vec<KeyInfo> {
        let info =
            |(at, key): (usize, &Key)| KeyInfo { id: hex(key.id), signs: at == 0, made_at: key.made_at };
        self.keys.iter().enumerate().map(info).collect()
    }

    /// A key of its own for another purpose, from each of these, the one that signs first. What is sealed
    /// with one of them today must open after a rotation.
    ///
    /// Source: RFC 5869, one block.
    pub fn derive(&self, purpose: &str) -> Vec<[u8; 32]> {
        self.keys.iter().map(|key| key.derive(purpose)).collect()
    }

    /// The token of a pixel: 52 characters of base64url.
    pub fn seal_pixel(&self, message: RelayId, recipient: Recipient) -> String {
        let key = self.signing();
        key.seal(token::write_pixel(key.id, message, recipient))
    }

    /// The token of a one-click unsubscribe: 52 characters of base64url.
    pub fn seal_unsubscribe(&self, message: RelayId, recipient: Recipient) -> String {
        let key = self.signing();
        key.seal(token::write_unsubscribe(key.id, message, recipient))
    }

    /// The token of a recipients' page: 52 characters of base64url.
    pub fn seal_refusal(&self, message: RelayId, recipient: Recipient) -> String {
        let key = self.signing();
        key.seal(token::write_refusal(key.id, message, recipient))
    }

    /// The token of a link: 55 characters of base64url, and four for each three octets of `target`.
    ///
    /// `target` is a URL as a browser serialises it.
    ///
    /// # Errors
    /// When a browser must not, or would not, be sent there.
    pub fn seal_link(
        &self,
        message: RelayId,
        recipient: Recipient,
        link: u16,
        target: &str,
    ) -> Result<String, MintError> {
        target::check(target)?;
        let key = self.signing();
        Ok(key.seal(token::write_link(key.id, message, recipient, link, target)))
    }

    /// What a pixel's token says, if one of these keys signed it as a pixel's.
    pub fn open_pixel(&self, token: &str) -> Option<PixelToken> {
        token::read_pixel(&self.verify(token)?)
    }

    /// What a link's token says, if one of these keys signed it as a link's.
    pub fn open_link(&self, token: &str) -> Option<LinkToken> {
        token::read_link(&self.verify(token)?)
    }

    /// What an unsubscribe token says, if one of these keys signed it as one.
    pub fn open_unsubscribe(&self, token: &str) -> Option<UnsubscribeToken> {
        token::read_unsubscribe(&self.verify(token)?)
    }

    /// What a recipients' page's token says, if one of these keys signed it as one.
    pub fn open_refusal(&self, token: &str) -> Option<RefusalToken> {
        token::read_refusal(&self.verify(token)?)
    }

    /// The octets before the MAC, if the MAC is right.
    fn verify(&self, token: &str) -> Option<Vec<u8>> {
        if token.len() > (MAX_OCTETS * 4).div_ceil(3) {
            return None;
        }
        // This engine takes one spelling of each octet string only: no padding, no stray bits at the end.
        let mut octets = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (signed, mac) = octets.split_last_chunk::<MAC_OCTETS>()?;
        let id = token::key_id(signed)?;
        // Ids are short and may coincide: any of their keys will do.
        let known = self.keys.iter().filter(|key| key.id == id);
        let right = known.fold(0, |right, key| right | key.mac(signed).ct_eq(mac).unwrap_u8());
        octets.truncate(octets.len() - MAC_OCTETS);
        (right == 1).then_some(octets)
    }

    fn signing(&self) -> &Key {
        self.keys.first().expect("made with a key, and none is ever taken out without one put in")
    }
}

impl Key {
    fn new(secret: [u8; 32], made_at: Option<Timestamp>) -> Self {
        let digest = Sha256::new().chain_update(b"waxseal key id\0").chain_update(secret).finalize();
        let id = *digest.first_chunk::<KEY_ID_OCTETS>().expect("SHA-256 gives 32 octets");
        let mac = Hmac::new_from_slice(&secret).expect("HMAC takes keys of any length");
        Self { id, secret, made_at, mac }
    }

    fn derive(&self, purpose: &str) -> [u8; 32] {
        let keyed = |key: &[u8]| Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        let extracted = keyed(b"waxseal derived keys").chain_update(self.secret).finalize().into_bytes();
        keyed(&extracted).chain_update(purpose).chain_update([1]).finalize().into_bytes().into()
    }

    fn seal(&self, mut octets: Vec<u8>) -> String {
        let mac = self.mac(&octets);
        octets.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(octets)
    }

    fn mac(&self, octets: &[u8]) -> [u8; MAC_OCTETS] {
        let full = self.mac.clone().chain_update(octets).finalize().into_bytes();
        *full.first_chunk().expect("HMAC-SHA256 gives 32 octets")
    }
}

fn parse_line(content: &str, line: usize) -> Result<(Key, bool), KeysError> {
    let malformed = KeysError::Malformed { line };
    let mut fields = content.split_whitespace();
    let (Some(id), Some(secret)) = (fields.next(), fields.next()) else { return Err(malformed) };
    let (mut signs, mut made_at) = (false, None);
    for field in fields {
        match field.strip_prefix(MADE) {
            None if field == SIGNS && !signs => signs = true,
            Some(at) if made_at.is_none() && !signs => {
                made_at = Some(at.parse().map_err(|_| malformed.clone())?);
            }
            _ => return Err(malformed),
        }
    }
    let secret = STANDARD.decode(secret).ok().and_then(|octets| <[u8; 32]>::try_from(octets).ok());
    let key = Key::new(secret.ok_or(malformed)?, made_at);
    if hex(key.id) == id { Ok((key, signs)) } else { Err(KeysError::Damaged { line }) }
}

fn hex(id: KeyId) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| hex(key.id))).finish()
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE};
    use proptest::prelude::*;

    use super::*;

    const URL: &str = "https://example.com/pricing?a=1&b=2#top";

    fn message() -> RelayId {
        RelayId::from_bytes(*b"\x01\x99\xd1\xa3\x7c\x51\x7e\x0e\x9f\x2a\x4c\x1d\x6b\x7e\x8f\x90")
    }

    fn keys() -> Keys {
        Keys::generate([7; 32])
    }

    /// Made by another program (RFC 5869 in Python): what was sealed with them must open in every version to come.
    #[test]
    fn derived_keys_stay_what_they_are() {
        let mut keys = Keys::generate([7; 32]);
        let before = keys.derive("tokens at rest");
        assert_eq!(before.len(), 1);
        assert_eq!(before[0][..4], [0x83, 0x58, 0xe8, 0x0e]);
        assert_ne!(keys.derive("another purpose"), before);
        keys.rotate([8; 32]);
        let after = keys.derive("tokens at rest");
        assert_eq!((after.len(), &after[1]), (2, &before[0]));
        assert_ne!(after[0], before[0]);
    }

    #[test]
    fn opens_what_it_sealed() {
        for recipient in
            [Recipient::Index(0), Recipient::Index(1), Recipient::Index(u16::MAX), Recipient::Shared]
        {
            let pixel = keys().seal_pixel(message(), recipient);
            assert_eq!(pixel.len(), 52);
            assert_eq!(keys().open_pixel(&pixel), Some(PixelToken { message: message(), recipient }));
            for link in [0, 1, u16::MAX] {
                let token = keys().seal_link(message(), recipient, link, URL).unwrap();
                let opened = keys().open_link(&token).unwrap();
                assert_eq!((opened.message, opened.recipient, opened.link), (message(), recipient, link));
                assert_eq!(opened.target.as_str(), URL);
                assert_eq!(keys().open_pixel(&token), None, "a link is no pixel");
            }
            assert_eq!(keys().open_link(&pixel), None, "a pixel is no link");
            let unsubscribe = keys().seal_unsubscribe(message(), recipient);
            assert_eq!(unsubscribe.len(), 52);
            let opened = keys().open_unsubscribe(&unsubscribe);
            assert_eq!(opened, Some(UnsubscribeToken { message: message(), recipient }));
            let refusal = keys().seal_refusal(message(), recipient);
            assert_eq!(refusal.len(), 52);
            let opened = keys().open_refusal(&refusal);
            assert_eq!(opened, Some(RefusalToken { message: message(), recipient }));
        }
    }

    /// What was signed for one purpose opens nothing else: a pixel that a scanner fetched must not unsubscribe anybody.
    #[test]
    fn a_token_opens_as_its_own_kind_only() {
        for recipient in [Recipient::Index(0), Recipient::Index(0x1213), Recipient::Shared] {
            let tokens = [
                keys().seal_pixel(message(), recipient),
                keys().seal_link(message(), recipient, 2, URL).unwrap(),
                keys().seal_unsubscribe(message(), recipient),
                keys().seal_refusal(message(), recipient),
            ];
            for (kind, token) in tokens.iter().enumerate() {
                let expected = [0, 1, 2, 3].map(|other| other == kind);
                assert_eq!(opens(&keys(), token), expected, "{token}");
            }
        }
    }

    /// As which kinds a token opens: pixel, link, unsubscribe, refusal.
    fn opens(keys: &Keys, token: &str) -> [bool; 4] {
        [
            keys.open_pixel(token).is_some(),
            keys.open_link(token).is_some(),
            keys.open_unsubscribe(token).is_some(),
            keys.open_refusal(token).is_some(),
        ]
    }

    /// Tokens are in mail for ever: these, made by another program from decision 0003, must open in every version to come.
    #[test]
    fn the_form_never_changes() {
        let pixel = "EZjdL50BmdGjfFF-Dp8qTB1rfo-QAAMmcYCYr6hnWA7583b34uFP";
        let link = "EpjdL50BmdGjfFF-Dp8qTB1rfo-QAAMAAmh0dHBzOi8vZXhhbXBsZS5jb20vcHJpY2luZz9hPTEmYj0yI3RvcFAqPDIixslqPSJaQ_Trmtg";
        assert_eq!(keys().seal_pixel(message(), Recipient::Index(3)), pixel);
        let sealed = keys().seal_link(message(), Recipient::Index(3), 2, URL).unwrap();
        assert_eq!(sealed, link);
        assert_eq!(keys().open_link(link).unwrap().link, 2);
        let unsubscribe = "E5jdL50BmdGjfFF-Dp8qTB1rfo-QAAN7eUQM8GNBVt2sjRYKyX5H";
        let refusal = "FJjdL50BmdGjfFF-Dp8qTB1rfo-QAAPVzMBQMjvB9ol0ZrcspZNB";
        assert_eq!(keys().seal_unsubscribe(message(), Recipient::Index(3)), unsubscribe);
        assert_eq!(keys().seal_refusal(message(), Recipient::Index(3)), refusal);
    }

    #[test]
    fn every_flipped_bit_every_cut_and_every_other_spelling_is_refused() {
        let keys = keys();
        for target in [URL, "https://example.com/", "https://example.com/a", "https://example.com/ab"] {
            let link = keys.seal_link(message(), Recipient::Index(0), 5, target).unwrap();
            refuses_all_changes(&keys, &link);
        }
        for recipient in [Recipient::Index(0), Recipient::Shared] {
            refuses_all_changes(&keys, &keys.seal_pixel(message(), recipient));
            refuses_all_changes(&keys, &keys.seal_unsubscribe(message(), recipient));
            refuses_all_changes(&keys, &keys.seal_refusal(message(), recipient));
        }
    }

    fn refuses_all_changes(keys: &Keys, token: &str) {
        let refused = |other: &str, how: &str| {
            assert_eq!(opens(keys, other), [false; 4], "{how}: {other}");
        };
        let octets = URL_SAFE_NO_PAD.decode(token).unwrap();
        for bit in 0..octets.len() * 8 {
            let mut flipped = octets.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            refused(&URL_SAFE_NO_PAD.encode(&flipped), "a bit of the octets");
        }
        // Every bit of the text too, and every other character in every place: also what base64 would take as the same.
        for at in 0..token.len() {
            for other in 0..128_u8 {
                let mut text = token.as_bytes().to_vec();
                if std::mem::replace(&mut text[at], other) != other {
                    refused(std::str::from_utf8(&text).unwrap(), "another character");
                }
            }
            refused(&token[..at], "cut at its end");
            refused(&token[at + 1..], "cut at its start");
            refused(&format!("{}{}", &token[..at], &token[at + 1..]), "a character less");
            for more in ["A", "=", "\n", " ", ".", "/"] {
                refused(&format!("{}{more}{}", &token[..at], &token[at..]), "a character more");
            }
        }
        for more in ["A", "=", "==", "\n", " ", "AAAA", "/", "?", "%3D"] {
            refused(&format!("{token}{more}"), "more at its end");
        }
        refused(&token.to_ascii_lowercase(), "in lower case");
        refused(&token.to_ascii_uppercase(), "in upper case");
        for spelling in [STANDARD.encode(&octets), URL_SAFE.encode(&octets), STANDARD_NO_PAD.encode(&octets)]
        {
            if spelling != token {
                refused(&spelling, "padding or another alphabet");
            }
        }
    }

    #[test]
    fn texts_that_never_were_tokens_are_refused() {
        let long = "A".repeat(100_000);
        for text in ["", "A", "AA", "AAAA", "é", "\0", "EZjdL50", &long, "../../etc/passwd"] {
            assert_eq!(opens(&keys(), text), [false; 4]);
        }
    }

    /// Signed by us, yet nothing we sign: what a token would be if another version had signed it.
    #[test]
    fn what_is_signed_must_still_be_well_formed() {
        let key = Key::new([7; 32], None);
        let good = token::write_link(key.id, message(), Recipient::Index(0), 0, URL);
        assert!(keys().open_link(&key.seal(good.clone())).is_some());
        for target in [
            "javascript:alert(1)",
            "https://a@b.example/",
            "https://b.example/\r\nX: y",
            "",
            "https://é.example/",
        ] {
            let signed = token::write_link(key.id, message(), Recipient::Index(0), 0, target);
            assert_eq!(keys().open_link(&key.seal(signed)), None, "{target:?}");
        }
        for first in (0..=255).filter(|first| ![0x12, 0x1a].contains(first)) {
            let mut other = good.clone();
            other[0] = first;
            assert_eq!(keys().open_link(&key.seal(other.clone())), None, "kind {first:#x}");
            other.truncate(23);
            let is = |kind: u8| first == kind || first == kind | 0x08;
            let expected = [is(0x11), false, is(0x13), is(0x14)];
            assert_eq!(opens(&keys(), &key.seal(other)), expected, "{first:#x}");
        }
        let mut shared = token::write_pixel(key.id, message(), Recipient::Shared);
        shared[22] = 1;
        assert_eq!(keys().open_pixel(&key.seal(shared)), None, "shared, yet an index");
        let mut longer = token::write_pixel(key.id, message(), Recipient::Shared);
        longer.push(0);
        assert_eq!(keys().open_pixel(&key.seal(longer)), None);
        let mut longer = token::write_unsubscribe(key.id, message(), Recipient::Index(0));
        longer.push(0);
        assert_eq!(keys().open_unsubscribe(&key.seal(longer)), None);
    }

    #[test]
    fn the_newest_signs_and_all_open() {
        let mut keys = keys();
        let old = keys.seal_link(message(), Recipient::Index(0), 0, URL).unwrap();
        keys.rotate([8; 32]);
        let new = keys.seal_link(message(), Recipient::Index(0), 0, URL).unwrap();
        assert_ne!(old, new);
        assert!(keys.open_link(&old).is_some() && keys.open_link(&new).is_some());
        assert_eq!(Keys::generate([8; 32]).open_link(&old), None, "another installation's");
        assert!(Keys::generate([8; 32]).open_link(&new).is_some());
        assert_eq!(Keys::generate([7; 32]).open_link(&new), None);

        let read = Keys::parse(&keys.to_text()).unwrap();
        assert_eq!(read.to_text(), keys.to_text());
        assert_eq!(read.seal_link(message(), Recipient::Index(0), 0, URL).unwrap(), new);
        assert!(read.open_link(&old).is_some());

        keys.rotate([7; 32]);
        assert_eq!(keys.seal_link(message(), Recipient::Index(0), 0, URL).unwrap(), old, "back to the first");
        assert_eq!(keys.keys.len(), 2, "no key twice");
    }

    #[test]
    fn merging_never_loses_a_key_and_never_doubles_one() {
        let at = Timestamp::from_unix_millis(1_795_508_461_123);
        let mut ours = Keys::generate_at([1; 32], at);
        ours.rotate([2; 32]);
        let mut theirs = Keys::generate([3; 32]);
        theirs.rotate_at([1; 32], at);
        let all = |keys: &Keys| keys.list().into_iter().map(|key| key.id).collect::<Vec<_>>();
        let (before, signing) = (all(&ours), ours.seal_pixel(message(), Recipient::Shared));
        assert_eq!(ours.merge(&theirs), 1);
        assert_eq!(all(&ours)[..2], before, "what was there stays where it was");
        assert_eq!(ours.seal_pixel(message(), Recipient::Shared), signing, "and signs");
        assert!(ours.open_pixel(&theirs.seal_pixel(message(), Recipient::Shared)).is_some());
        for again in [&theirs, &ours.clone()] {
            assert_eq!(ours.merge(again), 0, "again changes nothing");
        }
        assert_eq!(ours.list().len(), 3);
        assert_eq!(Keys::parse(&ours.to_text()).unwrap().list(), ours.list(), "the times too");
        assert_eq!(ours.list()[1].made_at, Some(at));
    }

    #[test]
    fn a_prepared_key_opens_and_signs_only_when_told() {
        let at = Timestamp::from_unix_millis(0);
        let mut keys = keys();
        let old = keys.list()[0].id.clone();
        keys.prepare([8; 32], at);
        keys.prepare([8; 32], at);
        let new = keys.list()[1].id.clone();
        assert_eq!(keys.list().iter().map(|key| key.signs).collect::<Vec<_>>(), [true, false]);
        let token = Keys::generate([8; 32]).seal_pixel(message(), Recipient::Shared);
        assert!(keys.open_pixel(&token).is_some());
        assert_ne!(keys.seal_pixel(message(), Recipient::Shared), token);
        assert_eq!((keys.sign_with("00000000"), keys.sign_with("")), (None, None));
        assert_eq!((keys.sign_with(&new), keys.sign_with(&new)), (Some(true), Some(false)));
        assert_eq!(keys.seal_pixel(message(), Recipient::Shared), token);
        assert_eq!(keys.list()[1].id, old);
    }

    #[test]
    fn two_keys_with_one_id_both_open() {
        let (mut first, mut second) = (Key::new([1; 32], None), Key::new([2; 32], None));
        (first.id, second.id) = ([0; 4], [0; 4]);
        let tokens =
            [&first, &second].map(|key| key.seal(token::write_pixel(key.id, message(), Recipient::Shared)));
        let keys = Keys { keys: vec![first, second] };
        assert!(tokens.iter().all(|token| keys.open_pixel(token).is_some()));
    }

    #[test]
    fn the_file_says_what_it_is_and_damage_is_seen() {
        let mut keys = keys();
        keys.rotate([9; 32]);
        let text = keys.to_text();
        assert!(text.starts_with('#') && text.contains("dead for good") && text.contains("backup"));
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let [signing, older] = lines[..] else { panic!("{text}") };
        assert!(signing.ends_with(" signs") && !older.contains("signs"));

        // The mark counts, not the order; blank lines, blanks, comments and CRLF do not.
        let reordered = format!("\n# mine\r\n  {older}\r\n\t{signing}  \r\n");
        assert_eq!(Keys::parse(&reordered).unwrap().to_text(), text);

        let unmarked = signing.trim_end_matches(" signs");
        let (id, secret) = unmarked.split_once(' ').unwrap();
        for (wrong, why) in [
            (String::new(), KeysError::Empty),
            ("# nothing\n".into(), KeysError::Empty),
            ("garbage".into(), KeysError::Malformed { line: 1 }),
            (id.into(), KeysError::Malformed { line: 1 }),
            (format!("# x\n{id} {}", &secret[..40]), KeysError::Malformed { line: 2 }),
            (format!("{id} {}", secret.trim_end_matches('=')), KeysError::Malformed { line: 1 }),
            (format!("{signing} twice"), KeysError::Malformed { line: 1 }),
            (format!("{unmarked} sings"), KeysError::Malformed { line: 1 }),
            (format!("{unmarked} signs signs"), KeysError::Malformed { line: 1 }),
            (format!("{unmarked} made=yesterday signs"), KeysError::Malformed { line: 1 }),
            (format!("{unmarked} signs made=2026-11-24T08:21:01.123Z"), KeysError::Malformed { line: 1 }),
            (format!("00000000 {secret} signs"), KeysError::Damaged { line: 1 }),
            (format!("{} {secret} signs", id.to_uppercase()), KeysError::Damaged { line: 1 }),
            (format!("{signing}\n{unmarked}"), KeysError::Repeated { line: 2 }),
            (older.into(), KeysError::Signs(0)),
            (format!("{signing}\n{older} signs"), KeysError::Signs(2)),
        ] {
            let error = Keys::parse(&wrong).unwrap_err();
            assert_eq!(error, why, "{wrong}");
            assert!(!error.to_string().contains(&secret[..8]), "an error shows a secret");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?} {:#?}", keys(), keys());
        assert!(shown.contains("98dd2f9d"), "{shown}");
        assert!(!shown.contains("BwcH") && !shown.contains("7, 7") && !shown.contains("0707"));
    }

    proptest! {
        #[test]
        fn any_path_survives_the_way(
            path in "[!$&'()*+,./0-9:;=@A-Z_a-z~%-]{0,200}", query in "[!$&()*+,./0-9:;=?@A-Z_a-z~%-]{0,200}",
            secret: [u8; 32], id: [u8; 16], index: u16, link: u16,
        ) {
            let target = url::Url::parse(&format!("https://example.com/{path}?{query}")).unwrap();
            let (keys, message) = (Keys::generate(secret), RelayId::from_bytes(id));
            let token = keys.seal_link(message, Recipient::Index(index), link, target.as_str()).unwrap();
            let opened = keys.open_link(&token).unwrap();
            prop_assert_eq!(opened.target.as_str(), target.as_str());
            prop_assert_eq!((opened.message, opened.recipient, opened.link), (message, Recipient::Index(index), link));
            prop_assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert_eq!(Keys::generate(secret.map(|octet| !octet)).open_link(&token), None);
        }

        #[test]
        fn garbage_never_opens_and_never_panics(text in "\\PC{0,200}", octets: Vec<u8>) {
            prop_assert_eq!(opens(&keys(), &text), [false; 4]);
            prop_assert_eq!(opens(&keys(), &URL_SAFE_NO_PAD.encode(&octets)), [false; 4]);
        }

        #[test]
        fn a_key_file_of_garbage_never_panics(text: String) {
            let _ = Keys::parse(&text);
        }

        /// Whatever is minted can stand in a `Location` field.
        #[test]
        fn nothing_unsafe_is_minted(target in "(https?://)?\\PC{0,40}[\r\n\t @\\\\]?\\PC{0,10}") {
            if let Ok(token) = keys().seal_link(message(), Recipient::Shared, 0, &target) {
                let opened = keys().open_link(&token).unwrap();
                prop_assert!(opened.target.as_str().bytes().all(|b| b.is_ascii_graphic()));
            }
        }
    }
}
