//! Mints and opens the signed tokens in pixel, link, unsubscribe and refusal URLs; keys and their rotation.
//!
//! A token is (decision 0003), in base64url without padding:
//!
//! ```text
//! pixel        0x11  key id (4)  message id (16)  recipient (2)                               MAC (16)
//! link         0x12  key id (4)  message id (16)  recipient (2)  link (2)  destination (1–)   MAC (16)
//! unsubscribe  0x13  key id (4)  message id (16)  recipient (2)                               MAC (16)
//! refusal      0x14  key id (4)  message id (16)  recipient (2)                               MAC (16)
//! ```
//!
//! 0x08 in the first octet: the copy is shared by several recipients, whose index is 0 then.
//!
//! The MAC is HMAC-SHA256 over everything before it, truncated to 128 bits. Whoever has the keys opens a
//! token with nothing else at hand; nobody else makes one.

mod keys;
mod self_cookie;
mod target;
mod token;

pub use keys::{KeyInfo, Keys, KeysError};
pub use self_cookie::{SELF_COOKIE, SelfCookie};
pub use target::{MAX_TARGET_OCTETS, MintError, VerifiedTarget};
pub use token::{LinkToken, PixelToken, Recipient, RefusalToken, UnsubscribeToken};

/// Where pixels live under a base URL: `https://t.example.com` + `/o/` + token.
pub const PIXEL_PATH: &str = "/o/";

/// Where links live under a base URL: `https://t.example.com` + `/c/` + token.
pub const LINK_PATH: &str = "/c/";

/// Where one-click unsubscribes live under a base URL (RFC 8058): `https://t.example.com` + `/u/` + token.
pub const UNSUBSCRIBE_PATH: &str = "/u/";

/// Where recipients' pages live under a base URL: `https://t.example.com` + `/r/` + token.
pub const REFUSAL_PATH: &str = "/r/";
