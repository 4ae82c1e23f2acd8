use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use envelope::Secret;
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;
use url::form_urlencoded::Serializer;

use super::{OAuthError, form_post};
use crate::upstream::Upstream;

/// An authorisation server, and who we are to it.
#[derive(Clone, Debug)]
pub struct OAuthClient {
    /// Where a person signs in.
    pub authorize_url: String,
    /// Where tokens come from.
    pub token_url: String,
    /// What is asked for.
    pub scope: String,
    /// The operator's registration with the provider.
    pub client_id: String,
    /// Its secret, where the provider wants one of a program like this.
    pub client_secret: Option<Secret>,
    /// The host in the redirect to a port of this machine: providers differ in which they allow.
    pub redirect_host: String,
    /// Timeout, proxy and trust of the way there are those of this upstream.
    pub like: Upstream,
}

/// What the server gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// For AUTH.
    pub access_token: Secret,
    /// How long it lasts.
    pub lasts: Duration,
    /// For the next; not every answer holds a new one.
    pub refresh_token: Option<Secret>,
    /// How long that lasts, where the server says so.
    pub refresh_lasts: Option<Duration>,
}

/// One try to sign in: what proves that the answer is to our question (RFC 7636, RFC 6749 §10.12).
#[derive(Clone, Debug)]
pub struct Pkce {
    /// Comes back with the code.
    pub state: String,
    verifier: Secret,
}

/// RFC 6749 §5.1 recommends to say it; this is what most mean who do not.
const USUAL_LIFE: Duration = Duration::from_hours(1);
const MAX_CHARACTERS: usize = 300;

impl Pkce {
    /// New random ones.
    ///
    /// # Errors
    /// When the system gives no random octets.
    pub fn new() -> Result<Self, OAuthError> {
        Ok(Self { state: random()?, verifier: Secret::new(random()?) })
    }

    fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.expose()))
    }
}

fn random() -> Result<String, OAuthError> {
    let mut octets = [0; 32];
    rand::fill(&mut octets).map_err(|_| OAuthError::File {
        source: std::io::Error::other("the system gives no random octets"),
    })?;
    Ok(URL_SAFE_NO_PAD.encode(octets))
}

impl OAuthClient {
    /// Where a person goes to sign in as `address`.
    ///
    /// # Errors
    /// [`OAuthError::Url`].
    pub fn authorization_link(
        &self,
        pkce: &Pkce,
        redirect_uri: &str,
        address: &str,
    ) -> Result<String, OAuthError> {
        let mut link =
            Url::parse(&self.authorize_url).map_err(|_| OAuthError::Url(self.authorize_url.clone()))?;
        link.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &self.scope)
            .append_pair("state", &pkce.state)
            .append_pair("code_challenge", &pkce.challenge())
            .append_pair("code_challenge_method", "S256")
            .append_pair("login_hint", address)
            // Google gives a refresh token only when asked like this; others pass over it.
            .append_pair("access_type", "offline")
            .append_pair("prompt", "consent");
        Ok(link.into())
    }

    /// Tokens for the code that came back (RFC 6749 §4.1.3).
    ///
    /// # Errors
    /// Those of the server and of the way there. No error holds the code or a token.
    pub async fn exchange(
        &self,
        code: &Secret,
        pkce: &Pkce,
        redirect_uri: &str,
    ) -> Result<Grant, OAuthError> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", redirect_uri),
            ("code_verifier", pkce.verifier.expose()),
        ];
        self.ask(&form, &[code, &pkce.verifier]).await
    }

    /// A new access token (RFC 6749 §6).
    ///
    /// # Errors
    /// As [`OAuthClient::exchange`].
    pub async fn refresh(&self, refresh_token: &Secret) -> Result<Grant, OAuthError> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose())];
        self.ask(&form, &[refresh_token]).await
    }

    fn form(&self, pairs: &[(&str, &str)]) -> String {
        let mut form = Serializer::new(String::new());
        form.extend_pairs(pairs).append_pair("client_id", &self.client_id);
        if let Some(secret) = &self.client_secret {
            form.append_pair("client_secret", secret.expose());
        }
        form.finish()
    }

    async fn ask(&self, form: &[(&str, &str)], secrets: &[&Secret]) -> Result<Grant, OAuthError> {
        let (status, answer) = form_post::post(&self.token_url, self.form(form), &self.like).await?;
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        if status == 200 {
            return grant(&answer);
        }
        let Some(code) = answer["error"].as_str() else {
            return Err(OAuthError::Nonsense(format!("{status} without a reason")));
        };
        let description = answer["error_description"].as_str().unwrap_or_default();
        let secrets: Vec<&Secret> = secrets.iter().copied().chain(&self.client_secret).collect();
        Err(OAuthError::Refused { code: shown(code, &secrets), description: shown(description, &secrets) })
    }
}

fn grant(answer: &Value) -> Result<Grant, OAuthError> {
    let text = |name: &str| answer[name].as_str().filter(|text| is_token(text)).map(Secret::new);
    // Some write the number as text.
    let seconds = |name: &str| {
        answer[name].as_u64().or_else(|| answer[name].as_str()?.parse().ok()).map(Duration::from_secs)
    };
    Ok(Grant {
        access_token: text("access_token")
            .ok_or_else(|| OAuthError::Nonsense("200 without an access token".to_owned()))?,
        lasts: seconds("expires_in").unwrap_or(USUAL_LIFE),
        refresh_token: text("refresh_token"),
        refresh_lasts: seconds("refresh_token_expires_in"),
    })
}

/// RFC 6750 §2.1, generously: nothing that ends a line or a field of AUTH.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.len() <= 16 * 1024 && text.bytes().all(|octet| octet.is_ascii_graphic())
}

/// The server's words without controls and secrets: they go into the log and to the person at the other end.
fn shown(text: &str, secrets: &[&Secret]) -> String {
    let clean = secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.expose(), "***"));
    clean.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_CHARACTERS).collect()
}
