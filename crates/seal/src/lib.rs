//! Mints and opens the signed tokens in pixel and link URLs; keys and their rotation.
//!
//! A token is (decision 0003), in base64url without padding:
//!
//! ```text
//! pixel  0x11  key id (4)  message id (16)  recipient (2)                               MAC (16)
//! link   0x12  key id (4)  message id (16)  recipient (2)  link (2)  destination (1–)   MAC (16)
//! ```
//!
//! The MAC is HMAC-SHA256 over everything before it, truncated to 128 bits. Whoever has the keys opens a
//! token with nothing else at hand; nobody else makes one.

mod keys;
mod self_cookie;
mod target;
mod token;

pub use keys::{Keys, KeysError};
pub use self_cookie::{SELF_COOKIE, SelfCookie};
pub use target::{MAX_TARGET_OCTETS, MintError, VerifiedTarget};
pub use token::{LinkToken, PixelToken, Recipient};

/// Where pixels live under a base URL: `https://t.example.com` + `/o/` + token.
pub const PIXEL_PATH: &str = "/o/";

/// Where links live under a base URL: `https://t.example.com` + `/c/` + token.
pub const LINK_PATH: &str = "/c/";
