//! The pipeline: choose, rewrite, record, hand on.
//!
//! A [`Door`] is what a listener drives: it opens one [`Conversation`] a connection, and
//! [`Conversation::content`](smtp::Handler::content) is the way of a message, read downward:
//! what the sender chose, what was rewritten, what the store knows, what the provider said.
//! No sockets here; the handoff is `upstream`'s, the listener is `smtp`'s.

mod about;
mod asked;
mod choosing;
mod conversation;
mod dispatcher;
mod door;
pub mod event;
mod fault;
mod feedback;
mod history;
mod identity;
mod in_time;
mod newly_queued;
mod notification;
mod passwords;
mod provider;
mod recording;
mod rewriting;
mod rewritten;
mod sender_addresses;
mod senders_own;
mod settings;
mod seven_bit;
mod suppressing;
mod taking_over;
mod throttle;
mod trace;
mod unsubscribing;

pub use asked::{Asked, Wish, without_control_fields};
pub use choosing::Chosen;
pub use conversation::Conversation;
pub use dispatcher::{Counts, Dispatcher};
pub use door::{Door, Relay, Submitter};
pub use envelope::AddressPattern;
pub use feedback::{FeedbackDoor, Intake, IntakeError, Taken, TakenItem};
pub use passwords::{PasswordError, hash_password, new_app_password};
pub use rewriting::{Tracking, rewrite, rewrite_unless};
pub use rewritten::Rewritten;
pub use settings::{
    AddUnsubscribe, ConfiguredSender, Delivery, LoginOrder, OnDkim, OnSuppressed, OnUnavailable, Rate, Retry,
    Rewriting, Route, RouteLogin, Settings, TrackingDomain,
};
pub use throttle::LoginLimits;
