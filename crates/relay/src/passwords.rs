use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use envelope::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
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
}
