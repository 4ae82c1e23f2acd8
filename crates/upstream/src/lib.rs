//! The handoff to a provider, on lettre's connection level over our own guarded wire.
//!
//! ```text
//! Upstream ─► opening: TCP or a proxy, greeting, EHLO, STARTTLS, EHLO, AUTH ─► Connection ─► MAIL, RCPT, DATA, content
//!                          on the Wire itself                        lettre's AsyncSmtpConnection over the Wire
//! ```
//!
//! lettre carries the transaction: MAIL, RCPT, DATA, RSET, QUIT and the replies to them; the content goes out
//! beside it, its dots stuffed here, in one write with the final dot where lettre would take three and look at each
//! octet by itself. What comes before is done on the wire itself, because lettre 0.11.23
//!
//! - takes what was sent in plain text after the 220 to STARTTLS for the answer to the EHLO
//!   inside TLS, so that whoever is in the middle writes the server's keywords,
//! - does not fall back to HELO, knows four EHLO keywords and those in capitals only,
//! - gives up AUTH LOGIN when the prompts are not the usual words, and has a feature that logs
//!   the lines a login is sent in,
//! - waits for ever on a silent server, hangs on replies that end in a bare LF, and calls a
//!   refusal in Latin-1 a network error.
//!
//! So the wire opens the connection, then plays the server's greeting and EHLO reply to lettre,
//! and from there on shows lettre each reply in the one form that it reads well, while the reply
//! as the provider wrote it is kept beside and is what a caller gets.
//!
//! No reply, error or `Debug` here ever holds a login name or a password.

mod certificate;
mod connection;
mod content;
mod dot_stuffing;
mod error;
mod extensions;
mod login;
mod oauth;
mod opening;
mod pool;
mod raw_reply;
mod reaching;
mod sighting;
mod socks;
mod tls;
mod upstream;
mod wire;

pub use certificate::Certificate;
pub use connection::Connection;
pub use error::{HandoffError, Step};
pub use extensions::{Extensions, SizeLimit};
pub use oauth::{Grant, OAuthClient, OAuthError, Pkce, SignIn, Tokens, Vault};
pub use pool::{Pool, PoolLimits, Pooled};
pub use sighting::Sighting;
pub use upstream::{Proxy, Tls, Trust, Upstream};
