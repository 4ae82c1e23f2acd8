use std::fmt;

use envelope::{Secret, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use store::ApiToken;
use subtle::ConstantTimeEq;

/// What may be done with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// See messages and events.
    Read,
    /// Say who an open or a click was.
    Correct,
    /// Hand in bounces and complaints, of whomever's mail.
    Feedback,
    /// All of this for every sender's mail, not the owner's alone.
    Everyone,
}

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken<'a> {
    /// Whose it is: a sender's login.
    pub owner: &'a str,
    /// What the owner calls it.
    pub label: &'a str,
    /// What may be done with it.
    pub scopes: &'a [Scope],
    /// When it is made.
    pub made_at: Timestamp,
    /// From when on it is right no longer.
    pub ends_at: Option<Timestamp>,
}

/// A token cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random octets: {0}")]
pub struct TokenError(getrandom::Error);

/// Begins every token, so that it is known for one wherever it turns up.
const PREFIX: &str = "wxs_";
const NAME: usize = 12;
const SECRET: usize = 32;
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A new token, to be shown once, and what is kept of it. Its secret part has 160 random bits, so it needs no slow
/// hash.
///
/// # Errors
/// When the system gives no random octets.
pub fn new_token(new: &NewToken<'_>) -> Result<(Secret, ApiToken), TokenError> {
    let (mut random, mut key) = ([0; NAME + SECRET], [0; 32]);
    for octets in [&mut random[..], &mut key[..]] {
        getrandom::fill(octets).map_err(TokenError)?;
    }
    // 32 characters: each is as likely as any other.
    let text: String = random.iter().map(|octet| char::from(ALPHABET[usize::from(octet % 32)])).collect();
    let (name, secret) = text.split_at(NAME);
    let scopes: Vec<&str> = new.scopes.iter().map(|scope| scope.code()).collect();
    let kept = ApiToken {
        name: name.to_owned(),
        owner: new.owner.to_owned(),
        label: new.label.to_owned(),
        scopes: scopes.join(" "),
        key,
        hash: keyed_hash(&key, secret),
        made_at: new.made_at,
        ends_at: new.ends_at,
    };
    Ok((Secret::new(format!("{PREFIX}{name}_{secret}")), kept))
}

/// Its name and its secret part; `None`: it is certainly none.
pub(super) fn parts(text: &str) -> Option<(&str, &str)> {
    let (name, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let sound = |part: &str, length| part.len() == length && part.bytes().all(|b| ALPHABET.contains(&b));
    (sound(name, NAME) && sound(secret, SECRET)).then_some((name, secret))
}

/// Takes as long whether it is right or not.
pub(super) fn is_right(secret: &str, kept: &ApiToken, now: Timestamp) -> bool {
    let right: bool = keyed_hash(&kept.key, secret).ct_eq(&kept.hash).into();
    right && kept.ends_at.is_none_or(|end| now < end)
}

fn keyed_hash(key: &[u8; 32], secret: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(b"waxseal api token 1\0");
    mac.update(secret.as_bytes());
    mac.finalize().into_bytes().into()
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Read, Self::Correct, Self::Feedback, Self::Everyone];

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Correct => "correct",
            Self::Feedback => "feedback",
            Self::Everyone => "everyone",
        }
    }

    /// The scope with this code, if there is one.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.code() == code)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
