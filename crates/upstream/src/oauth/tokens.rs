use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use envelope::{Clock, Credentials, Secret, Timestamp};

use super::client::{Grant, OAuthClient};
use super::vault::{Sealed, SignIn, Vault};
use super::{OAuthError, Pkce};
use crate::error::HandoffError;

/// Access tokens for the mailboxes of one upstream, renewed ahead of their end.
pub struct Tokens {
    client: OAuthClient,
    vault: Vault,
    clock: Arc<dyn Clock>,
    /// By mailbox; only those that have signed in.
    slots: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Slot>>>>,
}

/// One mailbox. Whoever renews holds the lock, so that others wait for the one new token.
#[derive(Default)]
struct Slot {
    access: Option<(Secret, Timestamp)>,
    /// The provider did not take it, whatever it says of its end.
    refused: bool,
    /// Not again before this moment, because of that.
    trouble: Option<(Timestamp, String)>,
}

/// A token is renewed so long before its end: a mail on its way must not meet it.
const AHEAD: Duration = Duration::from_mins(5);
/// One that cannot be renewed right now is used as long as this is left of it.
const RESERVE: Duration = Duration::from_secs(30);
/// A sign-in server that said no, or nothing, is left alone for so long.
const PAUSE: Duration = Duration::from_secs(30);

impl Tokens {
    /// For the upstream that `client` is like.
    pub fn new(client: OAuthClient, vault: Vault, clock: Arc<dyn Clock>) -> Self {
        Self { client, vault, clock, slots: Mutex::default() }
    }

    /// The authorisation server's side.
    pub fn client(&self) -> &OAuthClient {
        &self.client
    }

    /// What `address` logs in with right now.
    ///
    /// # Errors
    /// [`HandoffError::NoToken`].
    pub async fn login(&self, address: &str) -> Result<Credentials, HandoffError> {
        let address = address.to_ascii_lowercase();
        let refuse = |why: String| HandoffError::NoToken {
            host: self.client.like.host.clone(),
            upstream: self.client.like.name.clone(),
            address: address.clone(),
            why,
        };
        let slot = self.slot(&address).await.map_err(|error| refuse(error.to_string()))?;
        let mut slot = slot.lock().await;
        let now = self.clock.now();
        let lasts = |slot: &Slot, spare: Duration| match &slot.access {
            Some((token, end)) if !slot.refused && *end > now.plus(spare) => {
                Some(Credentials::with_access_token(&address, token.expose()))
            }
            _ => None,
        };
        if let Some(credentials) = lasts(&slot, AHEAD) {
            return Ok(credentials);
        }
        let why = match slot.trouble.take().filter(|(until, _)| *until > now) {
            Some((until, why)) => {
                slot.trouble = Some((until, why.clone()));
                why
            }
            None => match self.renewed(&address, slot.refused).await {
                Ok((token, end)) => {
                    *slot = Slot { access: Some((token.clone(), end)), ..Slot::default() };
                    return Ok(Credentials::with_access_token(&address, token.expose()));
                }
                Err(error) => {
                    let why = in_words(&error);
                    slot.trouble = Some((now.plus(PAUSE), why.clone()));
                    why
                }
            },
        };
        lasts(&slot, RESERVE).ok_or_else(|| refuse(why))
    }

    /// The provider did not take the token: the next login gets a new one.
    pub async fn refused(&self, address: &str) {
        if let Ok(slot) = self.slot(&address.to_ascii_lowercase()).await {
            slot.lock().await.refused = true;
        }
    }

    /// A person has signed in: the code is exchanged and what comes of it kept.
    ///
    /// # Errors
    /// Those of [`OAuthClient::exchange`]; and when the server gives nothing to renew the token with.
    pub async fn sign_in(
        &self,
        address: &str,
        code: &Secret,
        pkce: &Pkce,
        redirect_uri: &str,
    ) -> Result<SignIn, OAuthError> {
        let grant = self.client.exchange(code, pkce, redirect_uri).await?;
        let now = self.clock.now();
        let Some(refresh) = grant.refresh_token.clone() else {
            return Err(OAuthError::Nonsense("200 without a refresh token".to_owned()));
        };
        let sign_in = SignIn {
            upstream: self.client.like.name.clone(),
            address: address.to_ascii_lowercase(),
            signed_in: now,
            access_expires: now.plus(grant.lasts),
            refresh_expires: grant.refresh_lasts.map(|lasts| now.plus(lasts)),
            trouble: None,
        };
        self.save(sign_in.clone(), Sealed { access: grant.access_token, refresh }).await?;
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).remove(&sign_in.address);
        Ok(sign_in)
    }

    /// A token that lasts: the one on disk, which another process may have put there, or a new one.
    async fn renewed(&self, address: &str, refused: bool) -> Result<(Secret, Timestamp), OAuthError> {
        let (mut sign_in, kept) = self.load(address).await?;
        let now = self.clock.now();
        if !refused && sign_in.access_expires > now.plus(AHEAD) {
            return Ok((kept.access, sign_in.access_expires));
        }
        match self.client.refresh(&kept.refresh).await {
            Ok(Grant { access_token, lasts, refresh_token, refresh_lasts }) => {
                sign_in.access_expires = now.plus(lasts);
                if let Some(lasts) = refresh_lasts {
                    sign_in.refresh_expires = Some(now.plus(lasts));
                }
                sign_in.trouble = None;
                let end = sign_in.access_expires;
                let refresh = refresh_token.unwrap_or(kept.refresh);
                // A new refresh token may have ended the old one: without it on disk the sign-in is lost.
                self.save(sign_in, Sealed { access: access_token.clone(), refresh }).await?;
                Ok((access_token, end))
            }
            Err(error) => {
                sign_in.trouble = Some(in_words(&error));
                // For the operator's eyes only; the error itself is what counts.
                let _ = self.save(sign_in, kept).await;
                Err(error)
            }
        }
    }

    async fn slot(&self, address: &str) -> Result<Arc<tokio::sync::Mutex<Slot>>, OAuthError> {
        let known = || self.slots.lock().unwrap_or_else(PoisonError::into_inner).get(address).cloned();
        if let Some(slot) = known() {
            return Ok(slot);
        }
        // Only for those who have signed in: anybody can name an address.
        let (sign_in, kept) = self.load(address).await?;
        let slot = Slot { access: Some((kept.access, sign_in.access_expires)), ..Slot::default() };
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(slots.entry(address.to_owned()).or_insert_with(|| Arc::new(slot.into())).clone())
    }

    async fn load(&self, address: &str) -> Result<(SignIn, Sealed), OAuthError> {
        let (vault, upstream, address) =
            (self.vault.clone(), self.client.like.name.clone(), address.to_owned());
        blocking(move || vault.load(&upstream, &address)).await
    }

    async fn save(&self, sign_in: SignIn, tokens: Sealed) -> Result<(), OAuthError> {
        let vault = self.vault.clone();
        blocking(move || vault.save(&sign_in, &tokens)).await
    }
}

/// Files are read and synced on a thread of their own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OAuthError> + Send + 'static,
) -> Result<T, OAuthError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(OAuthError::File { source: std::io::Error::other(panic) }))
}

/// The error and what caused it.
fn in_words(error: &OAuthError) -> String {
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words += &format!(": {cause}");
        source = cause.source();
    }
    words
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("upstream", &self.client.like.name).finish_non_exhaustive()
    }
}
