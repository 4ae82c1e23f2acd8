use envelope::{Choice, RelayId};
use tokio::sync::watch;

/// What the demo's page asks of the program around it: the built-in mailbox and the sample message.
#[async_trait::async_trait]
pub trait Office: Send + Sync {
    /// Where everything is, for the top of the page.
    fn places(&self) -> Places;
    /// The mails in the built-in mailbox, oldest first.
    fn caught(&self) -> Vec<CaughtNote>;
    /// The HTML of a mail in the mailbox, decoded, as the recipient's mail program would show it.
    fn caught_html(&self, number: u64) -> Option<String>;
    /// A mail as it was written beside the mail as it was passed on.
    fn comparison(&self, number: u64) -> Option<Comparison>;
    /// Sends the sample message once more, tracked as chosen. Returns its number in the mailbox.
    async fn send_sample(&self, choice: Choice) -> Result<u64, OfficeError>;
    /// Changes whenever a mail arrives in the mailbox.
    fn arrivals(&self) -> watch::Receiver<u64>;
}

/// Where the demo's doors are.
#[derive(Clone, Debug)]
pub struct Places {
    /// `127.0.0.1:2525`.
    pub smtp: String,
    /// `127.0.0.1:8080`.
    pub console: String,
    /// `http://127.0.0.1:8081`.
    pub tracking: String,
    /// Who one is: `ana@demo.test`.
    pub sender: String,
}

/// One mail in the built-in mailbox.
#[derive(Clone, Debug)]
pub struct CaughtNote {
    /// Counts from 1.
    pub number: u64,
    /// Our id, from the `Received` field; none on a mail that did not come through us.
    pub id: Option<RelayId>,
    /// It has an HTML part to show.
    pub has_html: bool,
}

/// Both texts of a mail, cut where they differ.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// As it was written; empty where the demo did not write it.
    pub written: Vec<Piece>,
    /// As it was passed on.
    pub passed_on: Vec<Piece>,
    /// How many places changed.
    pub changes: usize,
}

/// A stretch of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What happened to it.
    pub change: Change,
    /// The text itself.
    pub text: String,
}

/// What happened to a stretch of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The same on both sides.
    Same,
    /// Only as written.
    Removed,
    /// Only as passed on.
    Added,
}

impl Piece {
    /// For the page's class names.
    pub fn is_changed(&self) -> bool {
        self.change != Change::Same
    }
}

/// The sample could not be sent.
#[derive(Debug, thiserror::Error)]
#[error("the sample could not be sent: {0}")]
pub struct OfficeError(pub String);
