//! Paths, replies, status codes, ids and reasons: the words every other crate shares.
//!
//! Nothing here does I/O. Names are those of RFC 5321, 5322 and 3463.

mod address_pattern;
mod choice;
mod credentials;
mod enhanced_status_code;
mod mailbox;
mod parameters;
mod path;
mod reason;
mod relay_id;
mod reply;
mod reply_code;
mod timestamp;
mod tracking_mode;

pub use address_pattern::AddressPattern;
pub use choice::Choice;
pub use credentials::{CredentialKind, Credentials, Secret};
pub use enhanced_status_code::EnhancedStatusCode;
pub use mailbox::{AddressError, Mailbox};
pub use parameters::{Body, Envelope, EnvelopeRecipient, MailParameters, Notify, RcptParameters, Ret};
pub use path::{ForwardPath, ReversePath};
pub use reason::Reason;
pub use relay_id::{RelayId, RelayIdError};
pub use reply::Reply;
pub use reply_code::{ReplyCode, Severity};
pub use timestamp::{Clock, ManualClock, SystemClock, Timestamp, TimestampError};
pub use tracking_mode::{ModeRule, TrackingMode, TrackingModes};
