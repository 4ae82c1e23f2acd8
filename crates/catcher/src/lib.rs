//! A built-in mailbox on mailin-embedded (0.8, plain SMTP on loopback): the upstream of
//! `waxseal demo` and of tests.
//!
//! It is a modest upstream on purpose: 8BITMIME and nothing else, no `MAIL FROM:<>`, no SIZE,
//! no login. What it is given it keeps octet by octet, and it refuses on request.
//! Why it is not Waxseal's own door: `docs/decisions/0001-our-own-smtp-session.md`.

mod catcher;
mod config;
mod conversation;
mod mailbox;
mod refusal;

pub use catcher::{Catcher, CatcherError};
pub use config::CatcherConfig;
pub use mailbox::CaughtMail;
pub use refusal::{Refusal, Script, Step};
