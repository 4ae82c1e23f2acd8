use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::client::TlsStream;

use crate::error::{HandoffError, Step};
use crate::raw_reply::{RawReply, ReplyReader};
use crate::upstream::Upstream;

/// A connection with a server, with a deadline on everything, that hands out whole replies.
///
/// It is used twice: the opening calls [`Wire::reply`] and [`Wire::exchange`]; then lettre reads
/// and writes it as a stream. To lettre each reply is shown in a form it understands, while the
/// reply itself, or the fault that came instead, is put into [`Heard`]: lettre's own errors say
/// less than that and are not used.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the link or the exchange")]
pub(crate) struct Wire {
    link: Link,
    /// The other end of `link` is not the server.
    proxied: bool,
    reader: ReplyReader,
    heard: Arc<Mutex<Heard>>,
    /// For each whole reply while nothing else is said in [`Heard::patience`], and for each write.
    timeout: Duration,
    read_deadline: Option<Pin<Box<Sleep>>>,
    write_deadline: Option<Pin<Box<Sleep>>>,
    /// What goes out beside lettre: the content after DATA or BDAT; and how much of it has.
    chunk: Vec<u8>,
    chunk_sent: usize,
    /// What lettre is about to read.
    for_lettre: Vec<u8>,
    /// lettre's EHLO has been answered by the wire and must not go out.
    swallowing: bool,
    /// Nothing has been written since the last reply.
    just_answered: bool,
    /// The octets in `reader` came before anything was asked.
    unasked: bool,
}

/// TCP, with or without TLS.
#[derive(Debug)]
pub(crate) enum Link {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

/// What the wire heard during one exchange, for the [`Connection`](crate::Connection) beside lettre.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) reply: Option<RawReply>,
    pub(crate) fault: Option<Fault>,
    /// The reply came before we had finished asking: nothing more can be sent on this connection.
    pub(crate) early: bool,
    /// CRLF `.` CRLF has begun to go out, or all of the chunk: from here on the server may have taken the message.
    pub(crate) dot_sent: bool,
    /// Goes out as it is when lettre flushes.
    pub(crate) chunk: Vec<u8>,
    /// So many octets at its end make the message the server's: the final dot, or the last octet of a BDAT.
    /// 0: more follows.
    pub(crate) end_octets: usize,
    /// How long the reply may take, if not the wire's timeout.
    pub(crate) patience: Option<Duration>,
}

/// Why there is no reply.
#[derive(Debug)]
pub(crate) enum Fault {
    Silent(Duration),
    Lost(Option<io::Error>),
    Nonsense(String),
}

/// lettre ends the content with one write of exactly this, which the last chunk has already brought. No command
/// looks so.
pub(crate) const FINAL_DOT: &[u8] = b"\r\n.\r\n";

impl Wire {
    pub(crate) fn new(link: Link, upstream: &Upstream) -> Self {
        Self {
            link,
            proxied: upstream.proxy.is_some(),
            timeout: upstream.timeout,
            reader: ReplyReader::default(),
            heard: Arc::default(),
            read_deadline: None,
            write_deadline: None,
            chunk: Vec::new(),
            chunk_sent: 0,
            for_lettre: Vec::new(),
            swallowing: false,
            just_answered: false,
            unasked: false,
        }
    }

    /// Where replies and faults are put while lettre has the wire.
    pub(crate) fn heard(&self) -> Arc<Mutex<Heard>> {
        Arc::clone(&self.heard)
    }

    /// Is what is sent here out of others' reach: encrypted, or within this machine?
    pub(crate) fn is_private(&self) -> bool {
        match &self.link {
            Link::Encrypted(_) => true,
            // A proxy on this machine is none the less the way out of it.
            Link::Plain(_) if self.proxied => false,
            Link::Plain(tcp) => tcp.peer_addr().is_ok_and(|peer| is_this_machine(peer.ip())),
        }
    }

    /// Is it encrypted? Then the certificate was verified too: there is no TLS here without that.
    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self.link, Link::Encrypted(_))
    }

    /// The next reply.
    pub(crate) async fn reply(&mut self) -> Result<RawReply, Fault> {
        std::future::poll_fn(|cx| self.poll_reply_in_time(cx)).await
    }

    /// Sends one line (without its CRLF) and waits for the reply.
    pub(crate) async fn exchange(&mut self, line: &str) -> Result<RawReply, Fault> {
        let sent = async {
            self.write_all(format!("{line}\r\n").as_bytes()).await?;
            self.flush().await
        };
        if let Err(error) = sent.await {
            let heard = std::mem::take(&mut *lock(&self.heard));
            return heard.reply.ok_or(heard.fault.unwrap_or(Fault::Lost(Some(error))));
        }
        self.reply().await
    }

    /// The TCP stream, for TLS to be put on; `None` if there are octets that came too early.
    pub(crate) fn into_tcp(self) -> Option<TcpStream> {
        match self.link {
            Link::Plain(tcp) if !self.reader.holds_octets() => Some(tcp),
            _ => None,
        }
    }

    /// Plays the server to lettre's opening: greeting and reply to EHLO lie ready, the EHLO stays here.
    pub(crate) fn for_lettre(mut self) -> Self {
        self.for_lettre = b"220 waxseal\r\n250 waxseal\r\n".to_vec();
        self.swallowing = true;
        self
    }

    fn poll_reply_in_time(&mut self, cx: &mut Context<'_>) -> Poll<Result<RawReply, Fault>> {
        let limit = lock(&self.heard).patience.unwrap_or(self.timeout);
        // One deadline for the whole reply: a server that sends an octet now and then is silent too.
        let mut deadline = self.read_deadline.take().unwrap_or_else(|| Box::pin(tokio::time::sleep(limit)));
        match self.poll_reply(cx) {
            Poll::Ready(Ok(reply)) => {
                self.just_answered = true;
                if std::mem::take(&mut self.unasked) {
                    if reply.code.severity().is_none() {
                        return Poll::Ready(Err(unasked(&reply)));
                    }
                    lock(&self.heard).early = true;
                }
                Poll::Ready(Ok(reply))
            }
            Poll::Ready(Err(fault)) => Poll::Ready(Err(fault)),
            Poll::Pending if deadline.as_mut().poll(cx).is_ready() => Poll::Ready(Err(Fault::Silent(limit))),
            Poll::Pending => {
                self.read_deadline = Some(deadline);
                Poll::Pending
            }
        }
    }

    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<RawReply, Fault>> {
        loop {
            match self.reader.next_reply() {
                Ok(Some(reply)) => return Poll::Ready(Ok(reply)),
                Ok(None) => {}
                Err(nonsense) => return Poll::Ready(Err(Fault::Nonsense(nonsense.0))),
            }
            let mut octets = [0; 4096];
            let mut buffer = ReadBuf::new(&mut octets);
            match ready!(Pin::new(&mut self.link).poll_read(cx, &mut buffer)) {
                Ok(()) if buffer.filled().is_empty() => return Poll::Ready(Err(Fault::Lost(None))),
                Ok(()) => self.reader.push(buffer.filled()),
                Err(error) => return Poll::Ready(Err(Fault::Lost(Some(error)))),
            }
        }
    }

    /// Looks whether the server spoke though it was our turn, or hung up.
    ///
    /// A refusal (421 before it closes, 552 in the middle of the content) is the answer to what we
    /// are doing, and ends it. A consent is not one: taken for the answer to the next command, or
    /// to a message not yet sent, it would shift all that follow.
    fn poll_unasked(&mut self, cx: &mut Context<'_>) -> Option<io::Error> {
        match self.poll_reply(cx) {
            Poll::Pending => {
                self.unasked |= self.reader.holds_octets();
                None
            }
            Poll::Ready(Ok(reply)) if reply.code.severity().is_some() => {
                let mut heard = lock(&self.heard);
                heard.reply = Some(reply);
                heard.early = true;
                Some(io::ErrorKind::ConnectionAborted.into())
            }
            Poll::Ready(Ok(reply)) => Some(self.fail(unasked(&reply))),
            Poll::Ready(Err(fault)) => Some(self.fail(fault)),
        }
    }

    /// What became of a write or flush, with the deadline and what the server said meanwhile.
    fn guard_write<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match outcome {
            Poll::Ready(Ok(done)) => {
                self.write_deadline = None;
                Poll::Ready(Ok(done))
            }
            Poll::Ready(Err(error)) => {
                // Its last words, if it had some, explain more than "broken pipe".
                if let Poll::Ready(Ok(reply)) = self.poll_reply(cx)
                    && reply.code.severity().is_some()
                {
                    let mut heard = lock(&self.heard);
                    heard.reply = Some(reply);
                    heard.early = true;
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Err(self.fail(Fault::Lost(Some(error)))))
            }
            Poll::Pending => {
                let dot_sent = lock(&self.heard).dot_sent;
                if !dot_sent && let Some(error) = self.poll_unasked(cx) {
                    return Poll::Ready(Err(error));
                }
                let limit = self.timeout;
                let deadline = self.write_deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
                ready!(deadline.as_mut().poll(cx));
                Poll::Ready(Err(self.fail(Fault::Silent(limit))))
            }
        }
    }

    /// Sends what follows the command.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.chunk.is_empty() {
            let ends_message = {
                let mut heard = lock(&self.heard);
                self.chunk = std::mem::take(&mut heard.chunk);
                heard.end_octets > 0
            };
            self.chunk_sent = 0;
            if self.chunk.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let our_turn_begins = std::mem::take(&mut self.just_answered) || ends_message;
            if our_turn_begins && let Some(error) = self.poll_unasked(cx) {
                self.chunk = Vec::new();
                return Poll::Ready(Err(error));
            }
        }
        while self.chunk_sent < self.chunk.len() {
            let left = &self.chunk[self.chunk_sent..];
            let outcome = match Pin::new(&mut self.link).poll_write(cx, left) {
                Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                outcome => outcome,
            };
            self.chunk_sent += ready!(self.guard_write(cx, outcome))?;
            let left = self.chunk.len() - self.chunk_sent;
            {
                let mut heard = lock(&self.heard);
                heard.dot_sent |= left < heard.end_octets;
            }
            if left == 0 {
                self.chunk = Vec::new();
                self.chunk_sent = 0;
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn fail(&self, fault: Fault) -> io::Error {
        lock(&self.heard).fault = Some(fault);
        io::ErrorKind::ConnectionAborted.into()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.for_lettre.is_empty() {
            match ready!(self.poll_reply_in_time(cx)) {
                Ok(reply) => {
                    self.for_lettre = reply.for_lettre();
                    lock(&self.heard).reply = Some(reply);
                }
                Err(fault) => return Poll::Ready(Err(self.fail(fault))),
            }
        }
        let count = self.for_lettre.len().min(buffer.remaining());
        buffer.put_slice(&self.for_lettre[..count]);
        self.for_lettre.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        if self.swallowing {
            let end = octets.iter().position(|octet| *octet == b'\n');
            self.swallowing = end.is_none();
            return Poll::Ready(Ok(end.map_or(octets.len(), |end| end + 1)));
        }
        if octets == FINAL_DOT {
            return Poll::Ready(Ok(octets.len()));
        }
        if std::mem::take(&mut self.just_answered)
            && let Some(error) = self.poll_unasked(cx)
        {
            return Poll::Ready(Err(error));
        }
        let outcome = match Pin::new(&mut self.link).poll_write(cx, octets) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            outcome => outcome,
        };
        self.guard_write(cx, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // lettre flushes behind each command, and has no other way to send octets as they are.
        ready!(self.poll_chunk(cx))?;
        let outcome = Pin::new(&mut self.link).poll_flush(cx);
        self.guard_write(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.link).poll_shutdown(cx);
        self.guard_write(cx, outcome)
    }
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.link {
            Link::Plain(tcp) => tcp.peer_addr(),
            Link::Encrypted(tls) => tls.get_ref().0.peer_addr(),
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Encrypted(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, octets),
            Self::Encrypted(tls) => Pin::new(tls).poll_write(cx, octets),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Encrypted(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Encrypted(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

/// Shows nothing of what passes: that includes logins.
impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Fault {
    /// The error for the caller.
    pub(crate) fn at(self, host: &str, step: Step) -> HandoffError {
        let host = host.to_owned();
        match self {
            Self::Silent(limit) => HandoffError::Silent { host, step, limit },
            Self::Lost(source) => HandoffError::Lost { host, step, source },
            Self::Nonsense(said) => HandoffError::Nonsense { host, step, said },
        }
    }
}

fn unasked(reply: &RawReply) -> Fault {
    Fault::Nonsense(format!("{} before anything was asked", reply.code))
}

/// By the address we are connected with: what `localhost` means is for the resolver to say.
fn is_this_machine(peer: IpAddr) -> bool {
    peer.to_canonical().is_loopback()
}

/// A panic elsewhere leaves nothing half-written in [`Heard`].
pub(crate) fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_this_machine() {
        for (peer, here) in [
            ("127.0.0.1", true),
            ("127.8.8.8", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.1", false),
            ("0.0.0.0", false),
            ("fe80::1", false),
            ("::ffff:10.0.0.1", false),
        ] {
            assert_eq!(is_this_machine(peer.parse().unwrap()), here, "{peer}");
        }
    }
}
