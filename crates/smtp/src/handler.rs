use std::future::Future;
use std::net::SocketAddr;

use envelope::{Credentials, ForwardPath, MailParameters, RcptParameters, Reply, ReversePath};

/// Whom the listener asks: makes one [`Handler`] for each connection that gets that far.
pub trait Service: Send + Sync + 'static {
    /// What answers for one connection.
    type Handler: Handler;

    /// A client has something to ask. Called once per connection, before the first question,
    /// and once more when the client goes on under STARTTLS.
    fn open(&self, client: &Client) -> Self::Handler;
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address and port.
    pub peer: SocketAddr,
    /// The listener's name, as configured.
    pub listener: String,
    /// Whether it speaks under TLS.
    pub tls: bool,
}

/// Answers for one connection. The listener awaits each call before it makes the next, so
/// the calls come in the order of the client's commands.
///
/// A reply of 421 is passed on and ends the connection (RFC 5321 §3.8). A reply that has no
/// place where it was given (3yz; a positive one other than 235 to a login) becomes transient.
pub trait Handler: Send + 'static {
    /// Is the login right? 235 and nothing else means yes.
    fn authenticate(&mut self, credentials: Credentials) -> impl Future<Output = Reply> + Send;

    /// MAIL: 2yz opens a transaction.
    fn mail(
        &mut self,
        reverse_path: ReversePath,
        parameters: MailParameters,
    ) -> impl Future<Output = Reply> + Send;

    /// RCPT, once per recipient: 2yz takes it.
    fn rcpt(
        &mut self,
        forward_path: ForwardPath,
        parameters: RcptParameters,
    ) -> impl Future<Output = Reply> + Send;

    /// The content after its final dot, the client's dots taken off, all lines ended by CRLF.
    /// 2yz takes the message over (RFC 5321 §6.1).
    fn content(&mut self, content: Vec<u8>, greeting: &Greeting) -> impl Future<Output = Reply> + Send;

    /// The transaction that [`Handler::mail`] opened is over and nothing was taken over: RSET,
    /// another EHLO, or a content that was refused by us or by [`Handler::content`].
    fn reset(&mut self) -> impl Future<Output = ()> + Send;

    /// The connection ends, in whatever state it is. Not called after a panic of the handler
    /// or when it outstays the grace at shutdown.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
}

/// What the client said of itself, for the Received field (RFC 5321 §4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The argument of EHLO or HELO: printable ASCII, `?` for what was not.
    pub helo: String,
    /// It said EHLO.
    pub esmtp: bool,
    /// The message came under TLS.
    pub tls: bool,
    /// The client has logged in.
    pub authenticated: bool,
}
