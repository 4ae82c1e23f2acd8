//! Bounces and complaints: a report's octets in, what it says about which message out.
//!
//! No I/O. [`read`] knows delivery status notifications (RFC 3464, RFC 6533), feedback reports (RFC 5965), and
//! the forms of those who write neither: qmail, older Exim and Exchange, Microsoft's junk mail reports. What it
//! says of the message that came back, [`Original`], is what whoever sent the report claims: it is matched with
//! what was really sent by whoever calls.

mod report;

mod reading;

mod fields;
mod original;
mod plain;

mod severity;

pub use original::Original;
pub use reading::read;
pub use report::{Complaint, DeliveryReport, FeedbackType, ReadError, RecipientReport, Report, Severity};
