use envelope::{Credentials, ForwardPath, MailParameters, RcptParameters, Reply, ReversePath};

use crate::handler::Greeting;

/// What the session wants done next, in order.
#[derive(Debug)]
pub enum Output {
    /// Say this to the client.
    Reply(Reply),
    /// Do this.
    Event(Event),
}

/// What the client brought about. The first four want an [`crate::Session::answer`].
#[derive(Debug)]
pub enum Event {
    /// A login is to be checked; 235 lets the client in.
    Authenticate(Credentials),
    /// A transaction begins.
    Mail {
        /// Who hears of failures.
        reverse_path: ReversePath,
        /// What MAIL said besides.
        parameters: MailParameters,
    },
    /// A recipient.
    Rcpt {
        /// Whom the message is for.
        forward_path: ForwardPath,
        /// What RCPT said besides.
        parameters: RcptParameters,
    },
    /// A whole message.
    Content {
        /// Its octets: the client's dots taken off, all lines ended by CRLF.
        content: Vec<u8>,
        /// What the client said of itself.
        greeting: Greeting,
    },
    /// The open transaction is over, nothing was taken over.
    Reset,
    /// After the replies so far comes a TLS handshake, then [`crate::Session::tls_started`].
    StartTls,
    /// After the replies so far close the connection. Nothing comes after this.
    Close,
}
