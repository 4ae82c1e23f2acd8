//! Through a SOCKS5 proxy (RFC 1928), and what a certificate that is refused says of itself.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod fake;

use std::time::Duration;

use envelope::{Credentials, Secret};
use fake::Act::{C, End, Handshake, S};
use fake::certificates::Authority;
use fake::{Fake, after_ehlo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use waxseal_upstream::{Connection, HandoffError, Proxy, Sighting, Tls, Upstream};

/// What the proxy answers.
#[derive(Clone, Copy)]
enum Manner {
    /// Connects with the fake, whatever name it is asked for; wants this login, if any.
    Connects(Option<(&'static str, &'static str)>),
    /// Says this to the request.
    Refuses(u8),
    /// Says this at once.
    Says(&'static [u8]),
    Silent,
}

/// A proxy for one connection. Gives the host and port it was asked for.
async fn proxy(manner: Manner, fake: u16) -> (u16, JoinHandle<Option<(String, u16)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.ok()?;
        let [_, count] = read(&mut client).await?;
        let mut methods = vec![0; count.into()];
        client.read_exact(&mut methods).await.ok()?;
        match manner {
            Manner::Silent => {
                client.read_to_end(&mut Vec::new()).await.ok()?;
                return None;
            }
            Manner::Says(octets) => {
                client.write_all(octets).await.ok()?;
                client.read_to_end(&mut Vec::new()).await.ok()?;
                return None;
            }
            Manner::Connects(Some((name, password))) => {
                let method = if methods.contains(&2) { 2 } else { 255 };
                client.write_all(&[5, method]).await.ok()?;
                let mut texts = Vec::new();
                let [_version] = read(&mut client).await?;
                for _ in 0..2 {
                    let [length] = read(&mut client).await?;
                    let mut text = vec![0; length.into()];
                    client.read_exact(&mut text).await.ok()?;
                    texts.push(String::from_utf8(text).ok()?);
                }
                let right = texts == [name, password];
                client.write_all(&[1, u8::from(!right)]).await.ok()?;
                if !right {
                    return None;
                }
            }
            _ => client.write_all(&[5, 0]).await.ok()?,
        }
        let [5, 1, 0, kind] = read(&mut client).await? else { return None };
        let host = match kind {
            1 => std::net::Ipv4Addr::from(read::<4>(&mut client).await?).to_string(),
            4 => std::net::Ipv6Addr::from(read::<16>(&mut client).await?).to_string(),
            _ => {
                let [length] = read(&mut client).await?;
                let mut name = vec![0; length.into()];
                client.read_exact(&mut name).await.ok()?;
                String::from_utf8(name).ok()?
            }
        };
        let asked = (host, u16::from_be_bytes(read(&mut client).await?));
        if let Manner::Refuses(status) = manner {
            client.write_all(&[5, status, 0, 1, 0, 0, 0, 0, 0, 0]).await.ok()?;
            return Some(asked);
        }
        let mut server = TcpStream::connect(("127.0.0.1", fake)).await.ok()?;
        // Bound by name: the longest form of the answer.
        let mut answer = vec![5, 0, 0, 3, 255];
        answer.extend([b'x'; 255]);
        answer.extend([0, 25]);
        client.write_all(&answer).await.ok()?;
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        Some(asked)
    });
    (port, task)
}

async fn read<const N: usize>(stream: &mut TcpStream) -> Option<[u8; N]> {
    let mut octets = [0; N];
    stream.read_exact(&mut octets).await.ok()?;
    Some(octets)
}

fn through(port: u16, login: Option<(&str, &str)>) -> Proxy {
    let login = login.map(|(name, password)| (name.to_owned(), Secret::new(password)));
    Proxy { host: "127.0.0.1".into(), port, login }
}

#[tokio::test]
async fn the_proxy_resolves_the_name_and_tls_is_with_the_server() {
    let authority = Authority::new();
    for login in [None, Some(("ana", "geheim"))] {
        let mut script = vec![Handshake];
        script.extend(after_ehlo(&["AUTH PLAIN"], vec![C("AUTH PLAIN *"), S("235 in"), End]));
        let fake = Fake::with_tls(script, Some(authority.server("smtp.nowhere.invalid"))).await;
        let (port, asked) = proxy(Manner::Connects(login), fake.port).await;
        let upstream = Upstream {
            host: "smtp.nowhere.invalid".into(),
            port: 465,
            tls: Tls::Implicit,
            trust: authority.trust(),
            proxy: Some(through(port, login)),
            ..fake.upstream()
        };
        let mut seen = Vec::new();
        let credentials = Credentials::with_password("ana", "x");
        let connection =
            Connection::open_watched(&upstream, Some(&credentials), &mut |sighting| seen.push(sighting))
                .await;
        drop(connection.unwrap());
        fake.finish().await;
        assert_eq!(asked.await.unwrap(), Some(("smtp.nowhere.invalid".into(), 465)));

        let [connected, encrypted, greeted, offered, logged_in] = &seen[..] else { panic!("{seen:?}") };
        assert!(
            matches!(connected, Sighting::Connected { is_proxy: true, address } if address.port() == port)
        );
        let Sighting::Encrypted { version, certificate: Some(certificate) } = encrypted else {
            panic!("{encrypted:?}")
        };
        assert_eq!(
            (version.as_str(), &certificate.names[..]),
            ("TLSv1.3", &["smtp.nowhere.invalid".into()][..])
        );
        assert!(matches!(greeted, Sighting::Greeted(reply) if reply.text() == "fake.test ready"));
        assert!(matches!(offered, Sighting::Offered(offered) if offered.auth == ["PLAIN"]));
        assert!(matches!(logged_in, Sighting::LoggedIn { mechanism: "PLAIN" }));
    }
}

#[tokio::test]
async fn what_the_proxy_refuses_is_said_and_nothing_goes_around_it() {
    let wrong = Some(("ana", "wrong"));
    for (manner, login, said) in [
        (Manner::Refuses(1), None, "it failed"),
        (Manner::Refuses(2), None, "its rules do not allow that connection"),
        (Manner::Refuses(4), None, "it cannot reach or resolve the host"),
        (Manner::Refuses(5), None, "the host refused its connection"),
        (Manner::Refuses(99), None, "it refused without a reason"),
        (Manner::Connects(Some(("ana", "right"))), wrong, "it refused our name and password"),
        (Manner::Connects(Some(("ana", "right"))), None, "it wants a name and a password"),
        (Manner::Says(b"\x05\x02"), None, "it wants a name and a password"),
        (Manner::Says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), None, "its answer is not SOCKS5"),
        (Manner::Says(b"\x05\x00\x05\x00\x00\x09"), None, "its answer is not SOCKS5"),
        (Manner::Says(b"\x05"), None, "timed out"),
        (Manner::Silent, None, "timed out"),
    ] {
        let fake = Fake::start(vec![]).await;
        let (port, _) = proxy(manner, fake.port).await;
        let upstream = Upstream { proxy: Some(through(port, login)), ..fake.impatient() };
        let error = Connection::open(&upstream, None).await.unwrap_err();
        let HandoffError::Proxy { source, .. } = &error else { panic!("{said}: {error:?}") };
        assert!(source.to_string().contains(said), "{said}: {source}");
        assert!(error.reply().to_string().starts_with("451 4.4.1 Your provider 127.0.0.1 does not answer"));
        assert!(!format!("{error:?} {upstream:?}").contains("wrong"));
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let fake = Fake::start(vec![]).await;
    let upstream = Upstream { proxy: Some(through(closed, None)), ..fake.impatient() };
    assert!(matches!(Connection::open(&upstream, None).await.unwrap_err(), HandoffError::Proxy { .. }));
}

/// The proxy may be on this machine; what it sends on is not.
#[tokio::test]
async fn no_login_goes_through_a_proxy_in_plain_text() {
    let fake = Fake::start(after_ehlo(&["AUTH PLAIN"], vec![End])).await;
    let (port, _) = proxy(Manner::Connects(None), fake.port).await;
    let upstream = Upstream { proxy: Some(through(port, None)), ..fake.upstream() };
    let login = Credentials::with_password("ana", "x");
    let error = Connection::open(&upstream, Some(&login)).await.unwrap_err();
    assert!(matches!(error, HandoffError::LoginUnencrypted { .. }));
    fake.finish().await;
}

#[tokio::test]
async fn a_refused_certificate_is_described() {
    let authority = Authority::new();
    let (other, forger) = (Authority::named("Somebody"), Authority::new());
    for (server, trust, expected) in [
        (
            authority.expired_server("localhost"),
            &authority,
            "the certificate of localhost was refused: it has expired; it is for localhost, issued by CN=rcgen self signed cert, valid from 2000-01-01 until 2001-01-01",
        ),
        (
            authority.server("mail.example.net"),
            &authority,
            "the certificate of localhost was refused: it is not for localhost; it is for mail.example.net, issued by CN=rcgen self signed cert, valid from *",
        ),
        (
            other.server("localhost"),
            &authority,
            "the certificate of localhost was refused: its issuer is not trusted here; it is for localhost, issued by CN=Somebody, valid from *",
        ),
        (
            forger.server("localhost"),
            &authority,
            "the certificate of localhost was refused: it was not signed by the authority it names; it is for *",
        ),
    ] {
        let fake = Fake::with_tls(vec![Handshake], Some(server)).await;
        let upstream = Upstream {
            host: "localhost".into(),
            tls: Tls::Implicit,
            trust: trust.trust(),
            timeout: Duration::from_secs(5),
            ..fake.upstream()
        };
        let error = Connection::open(&upstream, None).await.unwrap_err();
        let said = error.to_string();
        match expected.strip_suffix('*') {
            Some(start) => assert!(said.starts_with(start), "{said}"),
            None => assert_eq!(said, expected),
        }
        assert!(
            error.reply().to_string().starts_with("451 4.7.5 The certificate of your provider localhost")
        );
    }
}
