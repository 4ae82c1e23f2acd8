use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use envelope::Credentials;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::{HandoffError, Step, closes};
use crate::extensions::Extensions;
use crate::raw_reply::RawReply;
use crate::upstream::{Tls, Upstream};
use crate::wire::{Fault, Link, Wire};
use crate::{login, tls};

/// From nothing to a server that waits for MAIL.
pub(crate) async fn open(
    upstream: &Upstream,
    credentials: Option<&Credentials>,
) -> Result<(Wire, Extensions), HandoffError> {
    let tcp = connect(upstream).await?;
    let link = match upstream.tls {
        Tls::Implicit => Link::Encrypted(Box::new(tls::encrypt(tcp, upstream, Step::Greeting).await?)),
        Tls::StartTls | Tls::None => Link::Plain(tcp),
    };
    let mut wire = Wire::new(link, upstream.timeout);
    let greeting = accepted(wire.reply().await, upstream, Step::Greeting)?;
    consent(greeting, upstream, Step::Greeting)?;
    let mut extensions = hello(&mut wire, upstream).await?;
    if upstream.tls == Tls::StartTls {
        wire = start_tls(wire, &extensions, upstream).await?;
        // RFC 3207 §4.2: what was said before TLS counts no more.
        extensions = hello(&mut wire, upstream).await?;
    }
    if let Some(credentials) = credentials {
        login::log_in(&mut wire, &extensions, upstream, credentials).await?;
    }
    Ok((wire, extensions))
}

/// Tries each address of the host in turn; all together get the upstream's timeout.
async fn connect(upstream: &Upstream) -> Result<TcpStream, HandoffError> {
    let (host, port) = (upstream.host.as_str(), upstream.port);
    let unreachable = |source| HandoffError::Unreachable { host: host.to_owned(), port, source };
    let deadline = Instant::now() + upstream.timeout;
    let addresses: Vec<SocketAddr> = match timeout_at(deadline, tokio::net::lookup_host((host, port))).await {
        Ok(found) => found.map_err(unreachable)?.collect(),
        Err(_) => return Err(unreachable(io::ErrorKind::TimedOut.into())),
    };
    let tcp = connect_any(&addresses, deadline).await.map_err(unreachable)?;
    // lettre writes content and final dot apart: without this the dot waits for an
    // acknowledgement that the other side delays (Nagle), 40 ms a message.
    tcp.set_nodelay(true).map_err(unreachable)?;
    Ok(tcp)
}

/// The first of `addresses` that answers. One that swallows our packets gets its share of the
/// time, not all of it, so that the others have their turn.
async fn connect_any(addresses: &[SocketAddr], deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for (tried, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share: Duration = deadline.saturating_duration_since(Instant::now()) / left;
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// EHLO, and HELO for a server that does not know it (RFC 5321 §3.2).
async fn hello(wire: &mut Wire, upstream: &Upstream) -> Result<Extensions, HandoffError> {
    let name = helo_name(&upstream.helo);
    let reply = accepted(wire.exchange(&format!("EHLO {name}")).await, upstream, Step::Hello)?;
    if reply.code.is_positive() {
        return Ok(Extensions::from_ehlo(&reply));
    }
    if reply.code.get() < 500 {
        return consent(reply, upstream, Step::Hello).map(|_| Extensions::default());
    }
    let reply = accepted(wire.exchange(&format!("HELO {name}")).await, upstream, Step::Hello)?;
    consent(reply, upstream, Step::Hello).map(|_| Extensions::default())
}

/// The name in EHLO, without anything that could end the command.
fn helo_name(helo: &str) -> String {
    let name: String = helo.chars().filter(char::is_ascii_graphic).collect();
    if name.is_empty() { "[127.0.0.1]".to_owned() } else { name }
}

async fn start_tls(
    mut wire: Wire,
    extensions: &Extensions,
    upstream: &Upstream,
) -> Result<Wire, HandoffError> {
    let host = || upstream.host.clone();
    if !extensions.starttls {
        return Err(HandoffError::StartTlsNotOffered { host: host() });
    }
    let reply = accepted(wire.exchange("STARTTLS").await, upstream, Step::StartTls)?;
    consent(reply, upstream, Step::StartTls)?;
    // Anybody can have written what came with the 220; kept, it would be read as if it had come
    // through TLS. What comes after this moment goes to the TLS library, which refuses it.
    let tcp = wire.into_tcp().ok_or_else(|| HandoffError::StartTlsInjected { host: host() })?;
    let encrypted = tls::encrypt(tcp, upstream, Step::StartTls).await?;
    Ok(Wire::new(Link::Encrypted(Box::new(encrypted)), upstream.timeout))
}

/// A reply of any code but 421.
pub(crate) fn accepted(
    heard: Result<RawReply, Fault>,
    upstream: &Upstream,
    step: Step,
) -> Result<RawReply, HandoffError> {
    let reply = heard.map_err(|fault| fault.at(&upstream.host, step))?;
    if closes(reply.code) {
        return Err(HandoffError::ShutDown { host: upstream.host.clone(), step, reply: reply.to_reply() });
    }
    Ok(reply)
}

/// 2yz, or the error it is instead.
fn consent(reply: RawReply, upstream: &Upstream, step: Step) -> Result<RawReply, HandoffError> {
    let host = upstream.host.clone();
    if reply.code.is_positive() {
        Ok(reply)
    } else if reply.code.is_intermediate() {
        Err(HandoffError::Nonsense { host, step, said: reply.code.to_string() })
    } else {
        Err(HandoffError::Refused { host, step, reply: reply.to_reply() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_address_has_its_turn() {
        let closed = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = [closed, closed, open.local_addr().unwrap()];
        let deadline = Instant::now() + Duration::from_secs(5);
        let tcp = connect_any(&addresses, deadline).await.unwrap();
        assert_eq!(tcp.peer_addr().unwrap(), addresses[2]);

        let refused = connect_any(&addresses[..2], deadline).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(connect_any(&[], deadline).await.is_err());
    }

    #[test]
    fn the_name_in_ehlo_ends_no_line() {
        assert_eq!(helo_name("relay.example.com"), "relay.example.com");
        assert_eq!(helo_name("a b\r\nQUIT"), "abQUIT");
        assert_eq!(helo_name("\r\n"), "[127.0.0.1]");
    }
}
