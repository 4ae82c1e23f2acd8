use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use envelope::{Secret, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use store::AppPassword;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// A password cannot be hashed or a hash is not one.
#[derive(Debug, thiserror::Error)]
#[error("the password could not be hashed: {0}")]
pub struct PasswordError(String);

/// Verifies local passwords without becoming a way to take the service down.
///
/// One argon2id verification costs some 50 ms of a core (FIELD.md section 9), so only as many run
/// at once as we have cores, and one that succeeded is remembered for a while: by a keyed hash,
/// in memory only, so that what is remembered is of no use outside this process.
pub(crate) struct Passwords {
    running: Semaphore,
    key: [u8; 32],
    remembered: Mutex<HashMap<[u8; 32], Instant>>,
    /// What argon2 works in, 19 MiB each: one for each permit, used again. Made anew for each guess, the
    /// allocator would keep one for every thread that ever verified.
    memory: Mutex<Vec<Vec<Block>>>,
    decoy: String,
}

const REMEMBER_FOR: Duration = Duration::from_mins(10);
const REMEMBER_AT_MOST: usize = 4_096;
/// The second recommendation of RFC 9106 §4 scaled to a mail server: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;

/// An argon2id PHC string for the password, with a new random salt.
pub fn hash_password(password: &Secret) -> Result<String, PasswordError> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|e| PasswordError(e.to_string()))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2.hash_password(password.expose().as_bytes());
    Ok(hash.map_err(|e| PasswordError(e.to_string()))?.to_string())
}

/// A new password for one program of the sender's, to be shown once, and what is kept of it.
///
/// It has 160 random bits, so it needs no slow hash: eight groups of four letters and digits, none of which is
/// easily taken for another.
///
/// # Errors
/// When the system gives no random octets.
pub fn new_app_password(
    sender: &str,
    label: &str,
    made_at: Timestamp,
) -> Result<(Secret, AppPassword), PasswordError> {
    let (mut random, mut key) = ([0; APP_PASSWORD_CHARACTERS], [0; 32]);
    for octets in [&mut random[..], &mut key[..]] {
        getrandom::fill(octets).map_err(|e| PasswordError(e.to_string()))?;
    }
    // 32 characters: each is as likely as any other.
    let text: String = random.iter().map(|octet| char::from(ALPHABET[usize::from(octet % 32)])).collect();
    let shown: Vec<&str> = (0..APP_PASSWORD_CHARACTERS).step_by(4).map(|at| &text[at..at + 4]).collect();
    let kept = AppPassword {
        sender: sender.to_owned(),
        label: label.to_owned(),
        key,
        hash: keyed_hash(&key, &text),
        made_at,
    };
    Ok((Secret::new(shown.join("-")), kept))
}

const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const APP_PASSWORD_CHARACTERS: usize = 32;

/// The characters of what may be an app password, however it was typed.
pub(crate) struct AppPasswordText(Secret);

impl AppPasswordText {
    /// `None`: it is certainly none.
    pub(crate) fn of(password: &Secret) -> Option<Self> {
        if password.expose().len() > 3 * APP_PASSWORD_CHARACTERS {
            return None;
        }
        let characters = password.expose().chars().filter(|c| !matches!(c, '-' | ' '));
        let text: String = characters.map(|c| c.to_ascii_lowercase()).collect();
        let looks_like_one =
            text.len() == APP_PASSWORD_CHARACTERS && text.bytes().all(|c| ALPHABET.contains(&c));
        looks_like_one.then(|| Self(Secret::new(text)))
    }
}

/// Is it one of these? Takes as long whichever it is, and whether it is one at all.
pub(crate) fn is_app_password(text: &AppPasswordText, kept: &[AppPassword]) -> bool {
    let mut found = subtle::Choice::from(0);
    for password in kept {
        found |= keyed_hash(&password.key, text.0.expose()).ct_eq(&password.hash);
    }
    found.into()
}

fn keyed_hash(key: &[u8; 32], text: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(b"waxseal app password 1\0");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

impl Passwords {
    /// # Errors
    /// When the system gives no random octets.
    pub(crate) fn new() -> Result<Self, PasswordError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|e| PasswordError(e.to_string()))?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self {
            running: Semaphore::new(cores),
            key,
            remembered: Mutex::new(HashMap::new()),
            memory: Mutex::default(),
            decoy: hash_password(&Secret::new("nobody"))?,
        })
    }

    /// Is it the password of this hash? Without a hash it takes as long and is false, so that
    /// the time does not tell which logins exist.
    pub(crate) async fn verify(&self, login: &str, hash: Option<&str>, password: &Secret) -> bool {
        let fingerprint = self.fingerprint(login, hash, password);
        if hash.is_some() && self.is_remembered(&fingerprint) {
            return true;
        }
        let Ok(_permit) = self.running.acquire().await else { return false };
        let (phc, password) = (hash.unwrap_or(&self.decoy).to_owned(), password.clone());
        let mut memory = self.memory().pop().unwrap_or_default();
        let verified = tokio::task::spawn_blocking(move || {
            let right = is_password_of(&phc, &password, &mut memory).unwrap_or(false);
            (right, memory)
        });
        let right = match verified.await {
            Ok((right, memory)) => {
                self.memory().push(memory);
                right
            }
            Err(_) => false,
        };
        let right = right && hash.is_some();
        if right {
            self.remember(fingerprint);
        }
        right
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Vec<Vec<Block>>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hash is part of it: a changed password forgets the old one at once.
    fn fingerprint(&self, login: &str, hash: Option<&str>, password: &Secret) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        for field in [login, hash.unwrap_or_default(), password.expose()] {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    fn is_remembered(&self, fingerprint: &[u8; 32]) -> bool {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(fingerprint).is_some_and(|at| at.elapsed() < REMEMBER_FOR)
    }

    fn remember(&self, fingerprint: [u8; 32]) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBER_AT_MOST {
            remembered.clear();
        }
        remembered.insert(fingerprint, Instant::now());
    }
}

/// Verifies a PHC string in the given memory. `None`: it is not one of argon2's.
fn is_password_of(phc: &str, password: &Secret, memory: &mut Vec<Block>) -> Option<bool> {
    let phc = PasswordHash::new(phc).ok()?;
    let (salt, hash) = (phc.salt?, phc.hash?);
    let algorithm: Algorithm = phc.algorithm.as_str().parse().ok()?;
    let version = phc.version.map_or(Ok(Version::V0x13), Version::try_from).ok()?;
    let params = Params::try_from(&phc).ok()?;
    if memory.len() < params.block_count() {
        memory.resize(params.block_count(), Block::new());
    }
    let mut found = vec![0; hash.len()];
    let argon2 = Argon2::new(algorithm, version, params);
    argon2.hash_password_into_with_memory(password.expose().as_bytes(), &salt, &mut found, memory).ok()?;
    Some(found.ct_eq(hash.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_is_right() {
        let passwords = Passwords::new().unwrap();
        let hash = hash_password(&Secret::new("hunter2")).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        for round in 0..2 {
            assert!(passwords.verify("ana", Some(&hash), &Secret::new("hunter2")).await, "round {round}");
            assert!(!passwords.verify("ana", Some(&hash), &Secret::new("hunter3")).await);
            assert!(!passwords.verify("ana", None, &Secret::new("nobody")).await, "the decoy lets nobody in");
            assert!(!passwords.verify("ana", Some("not a hash"), &Secret::new("hunter2")).await);
        }
        let other = hash_password(&Secret::new("changed")).unwrap();
        assert!(!passwords.verify("ana", Some(&other), &Secret::new("hunter2")).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_forgotten() {
        let passwords = Passwords::new().unwrap();
        let fingerprint = passwords.fingerprint("ana", Some("h"), &Secret::new("p"));
        passwords.remember(fingerprint);
        assert!(passwords.is_remembered(&fingerprint));
        tokio::time::advance(REMEMBER_FOR).await;
        assert!(!passwords.is_remembered(&fingerprint));
    }

    #[test]
    fn an_app_password_is_right_however_it_is_typed() {
        let at = Timestamp::from_unix_millis(0);
        let (shown, kept) = new_app_password("ana@example.com", "phone", at).unwrap();
        let (other, other_kept) = new_app_password("ana@example.com", "desk", at).unwrap();
        assert_eq!((shown.expose().len(), shown.expose().split('-').count()), (39, 8));
        assert_ne!((shown.expose(), kept.key), (other.expose(), other_kept.key));
        let kept = [other_kept, kept];
        let plain = shown.expose().replace('-', "");
        for typed in [shown.expose(), &plain, &plain.to_uppercase(), &shown.expose().replace('-', " ")] {
            let text = AppPasswordText::of(&Secret::new(typed)).unwrap();
            assert!(is_app_password(&text, &kept), "{typed}");
            assert!(!is_app_password(&text, &kept[..1]), "{typed}");
            assert!(!is_app_password(&text, &[]), "{typed}");
        }
        for typed in ["", "hunter2", &plain[1..], &format!("{plain}a"), &plain.replacen(&plain[..1], "0", 1)]
        {
            assert!(AppPasswordText::of(&Secret::new(typed)).is_none(), "{typed}");
        }
    }
}
