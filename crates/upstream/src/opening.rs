use envelope::Credentials;

use crate::error::{HandoffError, Step, closes};
use crate::extensions::Extensions;
use crate::raw_reply::RawReply;
use crate::sighting::{Sighting, Watch};
use crate::upstream::{Tls, Upstream};
use crate::wire::{Fault, Link, Wire};
use crate::{login, reaching, tls};

/// From nothing to a server that waits for MAIL. `watch` hears of each step that was taken.
pub(crate) async fn open(
    upstream: &Upstream,
    credentials: Option<&Credentials>,
    watch: &mut Watch<'_>,
) -> Result<(Wire, Extensions), HandoffError> {
    let (tcp, address) = reaching::reach(upstream).await?;
    watch(Sighting::Connected { address, is_proxy: upstream.proxy.is_some() });
    let link = match upstream.tls {
        Tls::Implicit => {
            let encrypted = tls::encrypt(tcp, upstream, Step::Greeting).await?;
            watch(Sighting::encrypted(&encrypted));
            Link::Encrypted(Box::new(encrypted))
        }
        Tls::StartTls | Tls::None => Link::Plain(tcp),
    };
    let mut wire = Wire::new(link, upstream);
    let greeting = accepted(wire.reply().await, upstream, Step::Greeting)?;
    let greeting = consent(greeting, upstream, Step::Greeting)?;
    watch(Sighting::Greeted(greeting.to_reply()));
    let mut extensions = hello(&mut wire, upstream).await?;
    if upstream.tls == Tls::StartTls {
        wire = start_tls(wire, &extensions, upstream, watch).await?;
        // RFC 3207 §4.2: what was said before TLS counts no more.
        extensions = hello(&mut wire, upstream).await?;
    }
    watch(Sighting::Offered(extensions.clone()));
    if let Some(credentials) = credentials {
        let mechanism = login::log_in(&mut wire, &extensions, upstream, credentials).await?;
        watch(Sighting::LoggedIn { mechanism });
    }
    Ok((wire, extensions))
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
    watch: &mut Watch<'_>,
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
    watch(Sighting::encrypted(&encrypted));
    Ok(Wire::new(Link::Encrypted(Box::new(encrypted)), upstream))
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

    #[test]
    fn the_name_in_ehlo_ends_no_line() {
        assert_eq!(helo_name("relay.example.com"), "relay.example.com");
        assert_eq!(helo_name("a b\r\nQUIT"), "abQUIT");
        assert_eq!(helo_name("\r\n"), "[127.0.0.1]");
    }
}
