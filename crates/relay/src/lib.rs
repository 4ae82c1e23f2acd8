//! The pipeline: choose, rewrite, record, hand on.
//!
//! A [`Door`] is what a listener drives: it opens one [`Conversation`] a connection, and
//! [`Conversation::content`](smtp::Handler::content) is the way of a message, read downward:
//! what the sender chose, what was rewritten, what the store knows, what the provider said.
//! No sockets here; the handoff is `upstream`'s, the listener is `smtp`'s.

mod address_pattern;
mod asked;
mod choosing;
mod conversation;
mod door;
pub mod event;
mod history;
mod identity;
mod passwords;
mod provider;
mod recording;
mod rewriting;
mod rewritten;
mod settings;
mod trace;

pub use address_pattern::AddressPattern;
pub use asked::{Asked, Wish, without_control_fields};
pub use choosing::Chosen;
pub use conversation::Conversation;
pub use door::{Door, Relay, Submitter};
pub use passwords::{PasswordError, hash_password};
pub use rewriting::{Tracking, rewrite};
pub use rewritten::Rewritten;
pub use settings::{ConfiguredSender, LoginOrder, OnDkim, Rewriting, Route, RouteLogin, Settings};
