use std::mem;

use envelope::{CredentialKind, Reply};

use crate::auth::Exchange;
use crate::command::Helo;
use crate::content::ContentReceiver;

/// RFC 5321 §4.1.4. A command finds out here whether its turn has come.
#[derive(Debug)]
pub(crate) enum State {
    Connected,
    Greeted {
        client: Helo,
    },
    /// Within AUTH: the next line is a response, not a command.
    Auth {
        client: Helo,
        exchange: Exchange,
    },
    Mail {
        client: Helo,
        smtputf8: bool,
        /// Recipients so far, all of them refused.
        refused: usize,
    },
    /// Only here is there something to send DATA for.
    Rcpt {
        client: Helo,
        smtputf8: bool,
        /// Recipients so far, at least one of them taken.
        recipients: usize,
    },
    Data {
        client: Helo,
        receiver: ContentReceiver,
    },
    /// Within a chunk of BDAT (RFC 3030 §2).
    Chunk {
        client: Helo,
        receiver: ContentReceiver,
        left: u64,
        last: bool,
    },
    /// Between two chunks.
    BetweenChunks {
        client: Helo,
        receiver: ContentReceiver,
    },
    /// Within a chunk that was refused: it is read to its end, then comes the reply, then `back`.
    Refused {
        back: Box<Self>,
        left: u64,
        reply: Reply,
        /// The client should have known.
        counts: bool,
    },
    /// STARTTLS was answered; the client has nothing to say until TLS is there.
    StartTls {
        announced: bool,
    },
    Closed,
}

/// What an event asked, and what is needed to go on with the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Question {
    Authenticate { kind: CredentialKind },
    Mail { smtputf8: bool },
    Rcpt,
    Content,
}

impl State {
    /// Goes to the state `next` makes, with the client's name. Where there is none yet, or no
    /// longer, the state stays.
    pub(crate) fn change(&mut self, next: impl FnOnce(Helo) -> Self) {
        *self = match mem::replace(self, Self::Closed) {
            Self::Greeted { client }
            | Self::Auth { client, .. }
            | Self::Mail { client, .. }
            | Self::Rcpt { client, .. }
            | Self::Data { client, .. }
            | Self::Chunk { client, .. }
            | Self::BetweenChunks { client, .. } => next(client),
            nameless => nameless,
        };
    }
}
