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
    /// A mail as it was written beside the mail as it was passed on; `None`: there is no such mail, or it is too
    /// long to compare.
    fn comparison(&self, number: u64) -> Option<Comparison>;
    /// Sends the sample message once more, tracked as chosen. Returns its number in the mailbox.
    async fn send_sample(&self, choice: Choice) -> Result<u64, OfficeError>;
    /// Changes whenever a message was handed on or refused, and the store has it.
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

/// A mail as it was written and as it was passed on.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// It is known how the mail was written; otherwise all of it is [`Stretch::Same`], as it was passed on.
    pub written: bool,
    /// What it shows, from its beginning to its end.
    pub stretches: Vec<Stretch>,
    /// The names of header fields it was passed on with and not written with.
    pub fields_added: Vec<String>,
    /// The names of header fields it was written with and not passed on with.
    pub fields_removed: Vec<String>,
}

/// A stretch of both texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stretch {
    /// Alike on both sides.
    Same(String),
    /// Alike on both sides, and too long to show.
    Folded {
        /// How long.
        characters: usize,
    },
    /// Not alike.
    Changed {
        /// As it was written; `None`: only added.
        was: Option<String>,
        /// As it was passed on; `None`: only taken out.
        is: Option<String>,
        /// What it is for.
        mark: Option<Mark>,
    },
}

/// What a change is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// To see opens.
    Pixel,
    /// To see clicks.
    Link,
}

/// The sample could not be sent.
#[derive(Debug, thiserror::Error)]
#[error("the sample could not be sent: {0}")]
pub struct OfficeError(pub String);
