//! Access tokens for providers that want them instead of passwords (RFC 6749, RFC 7636).
//!
//! [`OAuthClient`] speaks with the authorisation server, [`Vault`] keeps what it gave, sealed, and
//! [`Tokens`] has a token ready whenever a connection is opened.

mod client;
mod form_post;
mod tokens;
mod vault;

pub use client::{Grant, OAuthClient, Pkce};
pub use tokens::Tokens;
pub use vault::{SignIn, Vault};

use std::io;

use crate::HandoffError;

/// Why there is no access token.
#[derive(Debug, thiserror::Error)]
pub enum OAuthError {
    /// Nobody has signed in for this address.
    #[error("nobody has signed in as {address} yet")]
    NotSignedIn {
        /// The mailbox.
        address: String,
    },
    /// The authorisation server could not be reached, or not in time.
    #[error("the sign-in server did not answer")]
    Unreachable {
        /// What happened instead.
        source: Box<HandoffError>,
    },
    /// It said no (RFC 6749 §5.2).
    #[error("the sign-in server refused: {code} {description}")]
    Refused {
        /// Its word for it: `invalid_grant`.
        code: String,
        /// Its sentence, may be empty.
        description: String,
    },
    /// What it said is no answer to what was asked.
    #[error("the sign-in server answered {0}")]
    Nonsense(String),
    /// The URL of the server cannot be used: not https, or not a URL.
    #[error("{0} is not a URL that a token may be sent to")]
    Url(String),
    /// The file of a sign-in cannot be read or written.
    #[error("the file of a sign-in cannot be used")]
    File {
        /// What the system said.
        source: io::Error,
    },
    /// It was sealed with another key, for another mailbox, or is damaged.
    #[error("the file of the sign-in of {address} does not open with the keys of this relay")]
    Sealed {
        /// The mailbox.
        address: String,
    },
}

impl OAuthError {
    /// Will only a person help, by signing in again?
    pub fn needs_sign_in(&self) -> bool {
        matches!(self, Self::NotSignedIn { .. } | Self::Sealed { .. })
            || matches!(self, Self::Refused { code, .. } if code == "invalid_grant")
    }
}
