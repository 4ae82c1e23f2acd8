//! The pipeline: choose, rewrite, record, hand on.
//!
//! A [`Door`] is what a listener drives: it opens one [`Conversation`] a connection, and
//! [`Conversation::content`](smtp::Handler::content) is the way of a message, read downward:
//! what the sender chose, what was rewritten, what the store knows, what the provider said.
//! No sockets here; the handoff is `upstream`'s, the listener is `smtp`'s.

mod settings;
mod door;
mod conversation;
mod identity;
mod passwords;
mod sender_pattern;
mod choosing;
mod rewriting;
mod trace;
mod recording;
pub mod event;

pub use choosing::{Chosen, TrackField};
pub use conversation::Conversation;
pub use door::{Door, Relay, Submitter};
pub use passwords::{PasswordError, hash_password};
pub use rewriting::{Rewritten, Tracking, rewrite};
pub use sender_pattern::SenderPattern;
pub use settings::{ConfiguredSender, LoginOrder, Route, RouteLogin, Settings};
